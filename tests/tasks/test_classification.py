"""Classification: losses count real targets only, metrics are exact, predictions are named."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mmtrain.contracts import Batch, DataSpec, Results
from mmtrain.target import Target, TargetSpec
from mmtrain.tasks.classification import Classification, calibration_error

SPEC = DataSpec({}, {"label": TargetSpec("label", "class", ("cat", "dog"), (30, 10))})


def batch(values: list[int], mask: list[bool], weight: list[float]) -> Batch:
    target = Target(torch.tensor(values), torch.tensor(mask))
    ids = [str(number) for number in range(len(values))]
    return Batch({}, {"label": target}, ids, torch.zeros(len(values)), torch.tensor(weight), {})


def test_rows_without_a_target_and_filling_rows_count_nothing() -> None:
    """Of three rows one has a target that counts: weight 1, loss -log(1/2), whatever the others' outputs are."""
    task = Classification(SPEC)
    outputs = torch.tensor([[0.0, 0.0], [torch.nan, 1.0], [5.0, torch.inf]], requires_grad=True)
    rows = batch([0, 0, 1], [True, False, True], [1.0, 1.0, 0.0])

    assert task.weight(rows) == 1.0
    assert task.loss(outputs, rows).item() == pytest.approx(math.log(2))


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    """40 rows, 2 classes of 30 and 10: weights 40/(2*30) and 40/(2*10)."""
    task = Classification(SPEC, class_weights="balanced")
    rows = batch([0, 1], [True, True], [1.0, 1.0])

    assert task.weight(rows) == pytest.approx(40 / 60 + 40 / 20)
    assert task.loss(torch.zeros(2, 2), rows).item() == pytest.approx((40 / 60 + 40 / 20) * math.log(2))


def test_focal_loss_of_a_case_by_hand() -> None:
    """p = 3/4: (1/4)^2 log(4/3); p = 1 has neither loss nor a gradient that is not finite, at any gamma."""
    outputs = torch.tensor([[math.log(3), 0.0]])
    one = batch([0], [True], [1.0])

    assert Classification(SPEC, loss="focal").loss(outputs, one).item() == pytest.approx(math.log(4 / 3) / 16)
    assert Classification(SPEC, loss="focal", gamma=0).loss(outputs, one).item() == pytest.approx(math.log(4 / 3))
    sure = torch.tensor([[1000.0, 0.0]], requires_grad=True)
    Classification(SPEC, loss="focal", gamma=0.5).loss(sure, one).backward()
    assert sure.grad.tolist() == [[0, 0]]
    with pytest.raises(ValueError, match=r"`label_smoothing` .* is for loss=cross_entropy"):
        Classification(SPEC, loss="focal", label_smoothing=0.1)


def test_metrics_of_a_case_by_hand() -> None:
    """Three of four right: accuracy .75, its standard error, and macro F1 of 4/5 and 2/3."""
    outputs = torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    target = Target(torch.tensor([0, 0, 1, 1]), torch.ones(4, dtype=torch.bool))
    results = Results(list("abcd"), outputs, {"label": target}, 0.0)
    metrics = Classification(SPEC).metrics(results)

    assert metrics["accuracy"] == 0.75
    assert metrics["accuracy_se"] == pytest.approx(math.sqrt(0.75 * 0.25 / 4))
    assert metrics["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert Classification(SPEC).confusion(results) == [[2, 0], [1, 1]]


def test_calibration_error_of_a_case_by_hand() -> None:
    """Ten rows said with confidence .8, six of them right: the error is .2."""
    probabilities = np.tile([0.8, 0.2], (10, 1))
    truth = np.array([0] * 6 + [1] * 4)

    assert calibration_error(probabilities, truth) == pytest.approx(0.2)


def test_predictions_name_the_class_and_give_every_probability() -> None:
    """A row whose logits differ by log 3: probability .75 for the first class."""
    target = Target(torch.tensor([0]), torch.tensor([False]))
    table = Classification(SPEC).table(Results(["a"], torch.tensor([[math.log(3), 0.0]]), {"label": target}, math.nan))

    assert table["prediction"] == ["cat"]
    assert table["probability"] == pytest.approx([0.75])
    assert table["p_dog"] == pytest.approx([0.25])


def test_rejected_classes_add_error_rates_and_a_curve() -> None:
    """Cats are commands, said with 3/4 and 1/2; dogs are taken for them with 3/4 and 1/4."""
    logits = torch.tensor([[math.log(3), 0.0], [0.0, 0.0], [math.log(3), 0.0], [0.0, math.log(3)]])
    target = Target(torch.tensor([0, 0, 1, 1]), torch.tensor([True] * 4))
    results = Results(list("abcd"), logits, {"label": target}, 0.0)
    task = Classification(SPEC, rejected=["dog"])

    assert task.metrics(results)["equal_error_rate"] == pytest.approx(0.5)
    assert task.metrics(results)["false_rejects_at_1_percent"] == 1.0
    (points,) = task.curves(results).values()
    assert [(round(x), round(y)) for x, y in points] == [(0, 100), (50, 50), (50, 0), (100, 0)]
    assert Classification(SPEC).curves(results) == {}


@pytest.mark.parametrize(("rejected", "message"), [(["dgo"], "no class 'dgo'.*dog"), (["cat", "dog"], "all classes")])
def test_classes_that_cannot_be_rejected_are_refused(rejected: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Classification(SPEC, rejected=rejected)

"""Tagging: losses by hand, thresholds from validation, metrics over the tags that a split has."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mmtrain.contracts import Batch, DataSpec, Results
from mmtrain.target import Target, TargetSpec
from mmtrain.tasks.tagging import Tagging, best_threshold

SPEC = DataSpec({}, {"tags": TargetSpec("tags", "multilabel", ("big", "red"), (1, 3), rows=4)})
THREE = math.log(3)  # the logit of a probability of 3/4


def batch(values: list[list[float]], mask: list[bool], weight: list[float]) -> Batch:
    target = Target(torch.tensor(values, dtype=torch.float32), torch.tensor(mask))
    ids = [str(number) for number in range(len(values))]
    return Batch({}, {"tags": target}, ids, torch.zeros(len(values)), torch.tensor(weight), {})


def results(logits: list[list[float]], truth: list[list[float]], mask: list[bool] | None = None) -> Results:
    target = Target(torch.tensor(truth), torch.tensor([True] * len(truth) if mask is None else mask))
    return Results([str(number) for number in range(len(truth))], torch.tensor(logits), {"tags": target}, 0.0)


def test_rows_without_a_target_and_filling_rows_count_nothing() -> None:
    """The mean over two tags of -log(3/4) and -log(1/4), whatever the other rows hold."""
    outputs = torch.tensor([[THREE, THREE], [torch.nan, 0.0], [0.0, torch.inf]])
    rows = batch([[1, 0], [1, 0], [1, 1]], [True, False, True], [1.0, 1.0, 0.0])

    assert Tagging(SPEC).weight(rows) == 1.0
    assert Tagging(SPEC).loss(outputs, rows).item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)


def test_balanced_positives_weigh_negatives_by_positives() -> None:
    """Of 4 training rows 1 is big and 3 are red: weights 3 and 1/3."""
    task = Tagging(SPEC, positive_weights="balanced")
    rows = batch([[1, 1]], [True], [1.0])

    assert task.loss(torch.zeros(1, 2), rows).item() == pytest.approx((3 + 1 / 3) / 2 * math.log(2))
    with pytest.raises(ValueError, match=r"`positive_weights` .* is for loss=bce"):
        Tagging(SPEC, loss="asymmetric", positive_weights="balanced")


def test_a_tag_on_every_row_is_learned_also_when_balanced() -> None:
    """It starts at the odds of 4.5 to .5, and a row that has it counts as without weights."""
    spec = DataSpec({}, {"tags": TargetSpec("tags", "multilabel", ("big", "red"), (2, 4), rows=4)})
    task = Tagging(spec, positive_weights="balanced")

    assert task.make_head(8).layers[-1].bias.exp().tolist() == pytest.approx([1.0, 9.0])
    assert task.loss(torch.zeros(1, 2), batch([[1, 1]], [True], [1.0])).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize(("weights", "odds"), [("none", [1.5 / 3.5, 3.5 / 1.5]), ("balanced", [1.0, 1.0])])
def test_a_head_starts_at_the_odds_of_the_tags(weights: str, odds: list[float]) -> None:
    """Half a row is added to the 1 and 3 rows of 4 that have a tag, and to those that have not."""
    head = Tagging(SPEC, positive_weights=weights).make_head(8)  # type: ignore[arg-type]

    assert head.layers[-1].bias.exp().tolist() == pytest.approx(odds)


def test_asymmetric_loss_of_a_case_by_hand() -> None:
    """Probabilities 3/4: the positive gives -(1/4) log(3/4), the negative -(1/2)^2 log(1/2) with a margin of 1/4."""
    task = Tagging(SPEC, loss="asymmetric", gamma_positive=1, gamma_negative=2, margin=0.25)
    rows = batch([[1, 0]], [True], [1.0])

    expected = (math.log(4 / 3) / 4 + math.log(2) / 4) / 2
    assert task.loss(torch.tensor([[THREE, THREE]]), rows).item() == pytest.approx(expected)


@pytest.mark.parametrize("logit", [-1000.0, 0.0, 1000.0])
def test_asymmetric_loss_has_finite_gradients(logit: float) -> None:
    outputs = torch.full((1, 2), logit, requires_grad=True)
    task = Tagging(SPEC, loss="asymmetric", gamma_positive=0.5, gamma_negative=0.5)
    task.loss(outputs, batch([[1, 0]], [True], [1.0])).backward()

    assert bool(torch.isfinite(outputs.grad).all())


def test_a_threshold_is_halfway_below_the_last_row_that_helps() -> None:
    """Said from .6 on, both positives are found and nothing else."""
    assert best_threshold(np.array([False, True, True]), np.array([0.2, 0.6, 0.9])) == pytest.approx(0.4)


def test_thresholds_come_from_validation() -> None:
    """One for all tags, or one a tag; a tag without validation rows takes the common one."""
    rows = results([[-2.0, 3.0], [-1.0, 4.0]], [[0, 0], [1, 0]])
    one, each = Tagging(SPEC), Tagging(SPEC, thresholds="tag")
    assert one.calibration() == {"thresholds": [0.5, 0.5]}
    for task in (one, each):
        task.calibrate(rows)
    probabilities = torch.tensor([-2.0, -1.0]).sigmoid()

    assert len(set(one.calibration()["thresholds"])) == 1
    assert each.calibration()["thresholds"] == [
        pytest.approx(float(probabilities.mean())),
        one.calibration()["thresholds"][0],
    ]
    again = Tagging(SPEC)
    again.restore(each.calibration())
    assert again.calibration() == each.calibration()
    with pytest.raises(ValueError, match="expected 2 `thresholds`, found 1"):
        again.restore({"thresholds": [0.5]})


def test_metrics_of_a_case_by_hand() -> None:
    """Big: ranked right, precision 1. Red: the positive is second of two, 1/2. Said: both of row 0, none of row 1."""
    found = results([[2.0, 1.0], [-1.0, -1.0], [9.0, 9.0]], [[1, 0], [0, 1], [1, 1]], [True, True, False])
    metrics = Tagging(SPEC).metrics(found)

    assert metrics["mean_average_precision"] == pytest.approx(0.75)
    assert metrics["micro_f1"] == pytest.approx(0.5)  # one right, one wrong, one missed
    assert metrics["macro_f1"] == pytest.approx(0.5)  # 1 and 0


def test_tags_that_no_row_has_are_left_out_of_the_means() -> None:
    """Their precision is undefined; with none at all every score is nan."""
    metrics = Tagging(SPEC).metrics(results([[1.0, 1.0], [-1.0, -1.0]], [[1, 0], [0, 0]]))

    assert (metrics["mean_average_precision"], metrics["macro_f1"]) == (1.0, 1.0)
    assert math.isnan(Tagging(SPEC).metrics(results([[1.0, 1.0]], [[0, 0]]))["mean_average_precision"])


@pytest.mark.parametrize(("separator", "written"), [(";", ["big;red", ""]), ("json", ['["big", "red"]', "[]"])])
def test_predictions_are_written_like_the_column(separator: str, written: list[str]) -> None:
    table = Tagging(SPEC, separator=separator).table(results([[THREE, 1.0], [-1.0, -1.0]], [[0, 0], [0, 0]]))

    assert table["prediction"] == written
    assert table["p_big"][0] == pytest.approx(0.75)

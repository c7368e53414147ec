"""Several tasks at once: losses are summed with fixed or learned weights, over the rows that have each target."""

from __future__ import annotations

import math

import pytest
import torch

from mmtrain.contracts import Batch, DataSpec, Fused, Results, Tokens
from mmtrain.protocols import Task
from mmtrain.target import Target, TargetSpec
from mmtrain.tasks.classification import Classification
from mmtrain.tasks.multi_task import MultiTask
from mmtrain.tasks.regression import Regression

SPEC = DataSpec(
    {},
    {
        "label": TargetSpec("label", "class", ("cat", "dog"), (1, 1)),
        "size": TargetSpec("size", "number", mean=0.0, deviation=2.0),
    },
)


def tasks() -> dict[str, Task]:
    return {"what": Classification(SPEC, target="label"), "much": Regression(SPEC, target="size", loss="l1")}


WHAT = "what_accuracy"


def made(**options: object) -> MultiTask:
    return MultiTask(SPEC, tasks=tasks(), metric=WHAT, **options)


def batch(sized: list[bool]) -> Batch:
    """Cats of the mean size; of some the size is not known."""
    everyone = torch.ones(len(sized), dtype=torch.bool)
    targets = {
        "label": Target(torch.zeros(len(sized), dtype=torch.int64), everyone),
        "size": Target(torch.zeros(len(sized)), torch.tensor(sized)),
    }
    return Batch({}, targets, [""] * len(sized), torch.zeros(len(sized)), torch.ones(len(sized)), {})


def outputs(count: int, log_variances: list[float] | None = None) -> dict[str, torch.Tensor]:
    """Even odds, and sizes one deviation off."""
    found = {"what": torch.zeros(count, 2), "much": torch.ones(count, 1)}
    return found if log_variances is None else found | {"log_variances": torch.tensor([log_variances] * count)}


def test_fixed_weights_multiply_the_losses() -> None:
    """Two rows of log 2, weighed 3, and one size of error 1; the batch weighs the mean of 2 and 1."""
    task, rows = made(weighting="fixed", weights={"what": 3}), batch([True, False])

    assert task.weight(rows) == 1.5
    assert task.loss(outputs(2), rows).item() == pytest.approx(3 * 2 * math.log(2) + 1)


def test_uncertainty_weighs_each_labelled_row() -> None:
    """exp(-s) L + s / 2 for each row that has the target: s = log 2 for the class, 0 for the size."""
    loss = made().loss(outputs(2, [math.log(2), 0.0]), batch([True, False]))

    assert loss.item() == pytest.approx(2 * (math.log(2) / 2 + math.log(2) / 2) + 1)


def test_the_learned_variances_get_a_gradient() -> None:
    """At s = 0 it is rows / 2 - L: here 1 - 2 log 2, and 1 - 2 * error."""
    task = made()
    head = task.make_head(4)
    pooled = torch.zeros(2, 4)
    fused = Fused(pooled, Tokens(pooled[:, :0, None], torch.zeros(2, 0).bool()), {}, {}, torch.ones(2, 1).bool())
    with torch.no_grad():
        for parameter in head.heads.parameters():
            parameter.zero_()
    task.loss(head(fused), batch([True, True])).backward()

    assert head.log_variances.grad.tolist() == pytest.approx([1 - 2 * math.log(2), 1.0])
    assert not [name for name, _ in made(weighting="fixed").make_head(4).named_parameters() if "variances" in name]


def test_scores_tables_and_calibration_carry_the_names_of_the_tasks() -> None:
    rows = batch([True] * 9)
    results = Results([str(n) for n in range(9)], made().collect(outputs(9, [0.0, 0.0]), rows), rows.targets, 0.0)
    task = made()
    task.calibrate(results)

    assert task.metrics(results)["what_accuracy"] == 1.0
    assert task.metrics(results)["much_mae"] == 2.0
    assert task.calibration() == {"much/size": [1.0]}
    assert {"what_prediction", "what_probability", "much_prediction", "much_low"} <= set(task.table(results))
    again = made()
    again.restore(task.calibration())
    assert again.calibration() == task.calibration()
    with pytest.raises(ValueError, match="`other/size` is of no task"):
        again.restore({"other/size": [1.0]})


def test_the_curves_of_the_tasks_are_drawn() -> None:
    """Four rows of even odds, the dogs rejected: one threshold, at which all are accepted."""
    task = MultiTask(
        SPEC, tasks=tasks() | {"bark": Classification(SPEC, target="label", rejected=["dog"])}, metric=WHAT
    )
    rows = batch([True] * 4)
    rows.targets["label"].tensor[2:] = 1
    said = task.collect(outputs(4, [0.0] * 3) | {"bark": torch.zeros(4, 2)}, rows)

    curves = task.curves(Results(list("abcd"), said, rows.targets, 0.0))

    assert curves == {"false rejects (%) by false accepts (%), bark": [(0.0, 100.0), (100.0, 0.0)]}


def test_the_mean_joins_scores_that_rise_together() -> None:
    """Accuracy 1 weighed 3 and an R2 of 0 weighed 1: .75."""
    children = {"what": Classification(SPEC, target="label"), "much": Regression(SPEC, target="size", metric="r2")}
    task = MultiTask(SPEC, tasks=children, weights={"what": 3})
    targets = {
        "label": Target(torch.tensor([0, 0]), torch.tensor([True, True])),
        "size": Target(torch.tensor([-1.0, 1.0]), torch.tensor([True, True])),
    }
    kept = {"what": torch.tensor([[1.0, 0.0]] * 2), "much": torch.zeros(2, 1)}

    assert task.metrics(Results(["a", "b"], kept, targets, 0.0))["mean"] == pytest.approx(0.75)
    assert task.higher_is_better
    assert not MultiTask(SPEC, tasks=tasks(), metric="much_mae").higher_is_better


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": {}}, "`tasks` is empty; add one with"),
        ({"tasks": {"keys": tasks()["what"]}}, r"`tasks\.keys`: another name"),
        ({"tasks": {"a.b": tasks()["what"]}}, "another name"),
        ({"weights": {"who": 1.0}}, r"`weights\.who`: expected .* one of what, much"),
        ({"weights": {"what": -1.0}}, "at least 0"),
        ({"metric": "accuracy"}, "is neither mean nor the metric of a task: what_accuracy, much_mae"),
        ({}, r"some shall rise and some fall; name one: what_accuracy, much_mae"),
    ],
)
def test_what_cannot_be_joined_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiTask(SPEC, **({"tasks": tasks()} | options))

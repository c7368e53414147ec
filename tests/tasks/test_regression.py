"""Regression: losses in standard deviations, scores in the column's unit, intervals from validation residuals."""

from __future__ import annotations

import math

import pytest
import torch

from mmtrain.contracts import Batch, DataSpec, Results
from mmtrain.target import Target, TargetSpec
from mmtrain.tasks.regression import Regression

SIZE = TargetSpec("size", "number", mean=10.0, deviation=2.0)
BOTH = DataSpec({}, {"size": SIZE, "price": TargetSpec("price", "number", mean=0.0, deviation=100.0)})
ONE = DataSpec({}, {"size": SIZE})


def batch(weight: list[float], **columns: list[float | None]) -> Batch:
    targets = {name: target(values) for name, values in columns.items()}
    return Batch({}, targets, [""] * len(weight), torch.zeros(len(weight)), torch.tensor(weight), {})


def target(values: list[float | None]) -> Target:
    """Standardised numbers; None is absent."""
    return Target(torch.tensor([value or 0.0 for value in values]), torch.tensor([v is not None for v in values]))


def results(given: list[list[float]], **columns: list[float | None]) -> Results:
    targets = {name: target(values) for name, values in columns.items()}
    return Results([str(number) for number in range(len(given))], torch.tensor(given), targets, 0.0)


@pytest.mark.parametrize(("loss", "expected"), [("l1", 3.0), ("l2", 9.0), ("huber", 2 * (3 - 1))])
def test_losses_of_an_error_of_three_deviations(loss: str, expected: float) -> None:
    """Huber with delta 2: 2 (3 - 2/2)."""
    task = Regression(ONE, loss=loss, delta=2)
    rows = batch([1.0, 0.0], size=[-1.0, 0.0])

    assert task.weight(rows) == 1.0
    assert task.loss(torch.tensor([[2.0], [torch.nan]]), rows).item() == pytest.approx(expected)


def test_of_several_columns_the_absent_ones_count_nothing() -> None:
    """Three of four numbers are there, so the batch weighs 1.5; errors of 1, 2 and 3, halved."""
    task = Regression(BOTH, target=["size", "price"], loss="l1")
    rows = batch([1.0, 1.0], size=[0.0, 0.0], price=[0.0, None])

    assert task.weight(rows) == 1.5
    assert task.loss(torch.tensor([[1.0, 2.0], [3.0, torch.nan]]), rows).item() == pytest.approx(3.0)


def test_scores_are_in_the_unit_of_the_column() -> None:
    """Errors of 0, 0 and 1.5 deviations of 2 each: MAE 1, RMSE sqrt(3), R2 = 1 - 2.25 / 2."""
    metrics = Regression(ONE).metrics(results([[-1.0], [0.0], [2.5], [9.0]], size=[-1.0, 0.0, 1.0, None]))

    assert metrics["mae"] == pytest.approx(1.0)
    assert metrics["rmse"] == pytest.approx(math.sqrt(3))
    assert metrics["r2"] == pytest.approx(1 - 2.25 / 2)
    assert 0.9 < metrics["pearson"] < 1
    assert math.isnan(metrics["coverage"])


def test_of_several_columns_the_mean_is_in_deviations() -> None:
    """Each column's own scores are in its unit."""
    found = results([[1.0, 0.0], [1.0, 3.0]], size=[0.0, 1.0], price=[0.0, 2.0])
    metrics = Regression(BOTH, target=["size", "price"]).metrics(found)

    assert (metrics["mae"], metrics["size_mae"], metrics["price_mae"]) == (0.5, 1.0, 50.0)


def test_scores_that_are_not_defined_are_nan() -> None:
    """Of no row, and of one: no R2, no correlation."""
    one, none = (Regression(ONE).metrics(results([[1.0]], size=[size])) for size in (0.0, None))

    assert (one["mae"], math.isnan(one["r2"]), math.isnan(one["pearson"])) == (2.0, True, True)
    assert all(math.isnan(value) for value in none.values())


def test_intervals_come_from_validation_residuals() -> None:
    """Of 4 residuals 1, 2, 3, 4 the ceil(5 * .8) = 4th: 4 deviations, 8 units, about 10 + 2 * 1."""
    task = Regression(ONE, coverage=0.8)
    task.calibrate(results([[1.0], [2.0], [3.0], [-4.0]], size=[0.0] * 4))
    table = task.table(results([[1.0]], size=[None]))

    assert task.calibration() == {"size": [4.0]}
    assert (table["prediction"], table["low"], table["high"]) == ([12.0], [4.0], [20.0])
    again = Regression(ONE)
    again.restore(task.calibration())
    assert again.metrics(results([[0.0], [0.0]], size=[3.0, 5.0]))["coverage"] == 0.5


def test_there_is_no_interval_where_there_are_too_few_residuals() -> None:
    """For 90 % one needs nine."""
    task = Regression(ONE)
    task.calibrate(results([[1.0]] * 8, size=[0.0] * 8))
    assert list(task.table(results([[1.0]], size=[None]))) == ["prediction"]

    task.calibrate(results([[1.0]] * 9, size=[0.0] * 9))
    assert list(task.table(results([[1.0]], size=[None]))) == ["prediction", "low", "high"]


@pytest.mark.parametrize("calibration", [{}, {"size": [1.0, 2.0]}, {"size": [-1.0]}, {"size": [], "other": []}])
def test_intervals_that_were_never_learned_are_refused(calibration: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError, match="expected one number at least 0, or none, for each of size"):
        Regression(ONE).restore(calibration)


def test_less_is_better_for_errors_only() -> None:
    better = {metric: Regression(ONE, metric=metric).higher_is_better for metric in ("mae", "rmse", "r2", "pearson")}

    assert better == {"mae": False, "rmse": False, "r2": True, "pearson": True}

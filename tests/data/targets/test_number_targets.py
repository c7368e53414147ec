"""Numbers are standardised by the training rows; what is no number is refused."""

import pytest

from mmtrain.data.targets.number import NumberTarget
from mmtrain.target import TargetSpec


def test_numbers_are_standardised_by_the_training_rows():
    """1 and 3 have the mean 2 and the deviation 1, so 4.5 is 2.5 deviations above."""
    reader = NumberTarget("price")

    assert reader.fit(["1", "3e0"]) == TargetSpec("price", "number", mean=2.0, deviation=1.0)
    assert reader.encode(" 4.5 ").tensor.tolist() == [2.5]
    assert (reader.absent().tensor.tolist(), reader.absent().mask.tolist()) == ([0], [False])


@pytest.mark.parametrize("cell", ["", "abc", "3,5", "1_000", "nan", "inf", "1e999", "0x10", "１", "--1"])
def test_what_is_no_finite_number_is_refused(cell: str):
    """Python would take some of these."""
    with pytest.raises(ValueError, match="is no finite number"):
        NumberTarget("price").check(cell)


@pytest.mark.parametrize(("values", "message"), [([], "found none"), (["2", "2.0"], "found only 2")])
def test_numbers_without_a_spread_are_refused(values: list[str], message: str):
    """There would be nothing to learn, and nothing to divide by."""
    with pytest.raises(ValueError, match=message):
        NumberTarget("price").fit(values)


def test_numbers_that_overflow_are_refused():
    with pytest.raises(ValueError, match="too large or too close"):
        NumberTarget("price").fit(["1e308", "-1e308"])

"""What a robustness test says in numbers, by hand."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import pytest

from mmtrain.robustness.measures import break_even, derangement, removed, retention, shapley, subsets, worst


def test_a_flat_curve_keeps_all_and_one_at_chance_nothing():
    assert retention([0, 0.5, 1], [0.9, 0.9, 0.9], chance=0.1, higher=True) == 1
    assert retention([0, 0.5, 1], [0.9, 0.1, 0.1], chance=0.1, higher=True) == pytest.approx(0.25)


def test_retention_is_an_area_over_unequal_levels():
    """r = 1, .5, 0 at 0, .2, .8: (.2 * .75 + .6 * .25) / .8 = .375."""
    assert retention([0, 0.2, 0.8], [1.0, 0.5, 0.0], chance=None, higher=True) == pytest.approx(0.375)


def test_an_error_that_doubles_keeps_half():
    """Where less is better: r = 1 and 1/2, so .75 of the area."""
    assert retention([0, 1], [2.0, 4.0], chance=None, higher=False) == pytest.approx(0.75)


def test_retention_is_undefined_for_a_model_at_chance_and_for_no_number():
    assert retention([0, 1], [0.1, 0.1], chance=0.1, higher=True) is None
    assert retention([0, 1], [0.9, math.nan], chance=0.1, higher=True) is None
    assert retention([0, 1], [0.0, 1.0], chance=None, higher=False) is None


def test_break_even_lies_where_the_line_crosses_the_bar():
    """From .9 at 0 to .5 at 1, the bar .6 is passed at .75; an error from 1 to 3 passes 2 at .5."""
    assert break_even([0, 1], [0.9, 0.5], 0.6, higher=True) == pytest.approx(0.75)
    assert break_even([0, 1], [1.0, 3.0], 2.0, higher=False) == pytest.approx(0.5)
    assert break_even([0, 1], [0.9, 0.7], 0.6, higher=True) is None
    assert break_even([0, 1], [0.5, 0.4], 0.6, higher=True) == 0


def test_the_worst_is_the_greatest_error_and_passes_over_what_is_no_number():
    scores = {"a": 1.0, "b": 2.0, "c": math.nan}

    assert worst(scores, higher=True) == "a"
    assert worst(scores, higher=False) == "b"


def test_all_subsets_but_the_empty_one():
    assert [len(subsets("abcd"[:count])) for count in range(1, 5)] == [1, 3, 7, 15]


def test_shapley_shares_by_hand():
    """a alone gives 1, b alone 2, both 5: a gets (1 + 3) / 2, b (2 + 4) / 2, of 5 in all."""
    values = {frozenset(): 0.0, frozenset("a"): 1.0, frozenset("b"): 2.0, frozenset("ab"): 5.0}

    assert shapley(values, "ab") == {"a": 2.0, "b": 3.0}


def test_a_modality_that_adds_nothing_has_no_share_and_equal_ones_share_equally():
    """A score of 1 as soon as a or b is there, whatever c is."""
    every = [frozenset(some) for size in range(4) for some in combinations("abc", size)]
    values = {some: 1.0 if some & {"a", "b"} else 0.25 for some in every}

    assert shapley(values, "abc") == pytest.approx({"a": 0.375, "b": 0.375, "c": 0.0})


def test_in_a_derangement_nothing_keeps_its_place():
    orders = [derangement(5, key) for key in range(200)]

    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)
    assert not any(place == number for order in orders for place, number in enumerate(order))
    assert len({tuple(order) for order in orders}) > 40  # of the 44 there are
    assert derangement(2, 1) == [1, 0]


def test_a_row_keeps_one_modality_and_loses_more_as_the_rate_grows():
    names = ["text", "image", "audio"]
    for row in map(str, range(50)):
        lost = [removed(row, names, rate) for rate in (0, 0.2, 0.5, 0.8, 1)]

        assert [len(some) for some in lost] == sorted(len(some) for some in lost)
        assert all(less <= more for less, more in pairwise(lost))
        assert (len(lost[0]), len(lost[-1])) == (0, 2)
        assert removed(row, ["text"], 1) == frozenset()
        assert removed(row, [], 1) == frozenset()


def test_about_the_share_asked_for_is_lost():
    """At .3, of two modalities each is lost in 30 % of the rows, but both never: .3 - .3^2 / 2 = .255 of each."""
    lost = [removed(str(row), ["a", "b"], 0.3) for row in range(4000)]

    assert sum("a" in some for some in lost) / 4000 == pytest.approx(0.255, abs=0.025)

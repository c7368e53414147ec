"""Means, intervals and verdicts, on numbers one can check by hand and on simulated studies."""

from __future__ import annotations

import importlib.util
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from mmtrain.significance import (
    Error,
    Scores,
    blocks,
    bootstrap,
    compare,
    holm,
    pseudo_values,
    standard_error,
    summarise,
)

SCRIPT = Path(__file__).parents[1] / "scripts" / "verdict_simulation.py"


@pytest.fixture(scope="module")
def simulation():
    spec = importlib.util.spec_from_file_location("verdict_simulation", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_three_values_have_mean_deviation_and_t_interval():
    """1, 2, 3: sd with n - 1 is 1, and half the 95 % interval is t(.975, 2) / sqrt(3) = 4.303 / 1.732."""
    made = summarise([1.0, 2.0, 3.0])

    assert (made.mean, made.sd) == (2, 1)
    assert made.half_width == pytest.approx(4.3027 / 3**0.5, rel=1e-4)


def test_one_seed_has_no_interval():
    assert (summarise([0.5]).sd, summarise([0.5]).half_width) == (None, None)


def test_holm_corrects_the_smallest_most():
    """.01 * 3, then .03 * 2, then the larger of .04 * 1 and the one before."""
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})


def test_where_only_seeds_vary_the_error_is_that_of_a_t_test():
    """Each seed's units are alike: 1, 2, 3 over 4 units have error sd / sqrt(3), and t(.975, 2) is 4.303."""
    error = standard_error(np.array([[1.0] * 4, [2.0] * 4, [3.0] * 4]))

    assert (error.size, error.share) == (pytest.approx(1 / 3**0.5), pytest.approx(1))
    assert error.quantile(0.975) == pytest.approx(4.3027, rel=1e-4)


def test_where_only_units_vary_more_seeds_do_not_help():
    """Every seed is right on the same half of 4 units: var = 1/3 over 4 units, however many seeds there are."""
    errors = [standard_error(np.array([[0.0, 1.0, 0.0, 1.0]] * seeds)) for seeds in (2, 50)]

    assert [error.size for error in errors] == [pytest.approx((1 / 3 / 4) ** 0.5)] * 2
    assert [error.quantile(0.975) for error in errors] == [pytest.approx(3.1824, rel=1e-4)] * 2  # t(.975, 3)


def test_two_quantiles_are_weighted_by_their_variances_and_p_is_their_inverse():
    """A quarter of t(.975, 2) = 4.3027 and three of t(.975, 10) = 2.2281 are 2.7468; a mean so large has p .05."""
    error = Error(2.0, 0.25, seeds=3, units=11)

    assert error.quantile(0.975) == pytest.approx(2.7468, abs=1e-4)
    assert error.p(-2 * error.quantile(0.975)) == pytest.approx(0.05)
    assert error.p(-2 * error.quantile(1e-40)) == pytest.approx(2e-40)
    assert (error.p(0.0), Error(0.0, 1.0, 3, 11).p(0.1)) == (1, 0)


@pytest.mark.parametrize("shape", [(1, 10), (5, 1)])
def test_one_seed_or_one_unit_is_refused(shape):
    with pytest.raises(ValueError, match="tell nothing of how much they vary"):
        standard_error(np.zeros(shape))


def test_pseudo_values_of_a_mean_are_the_means_of_the_units():
    values = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    made = pseudo_values(lambda rows: values[list(rows)].mean(), [[0, 1], [2, 3], [4, 5]])

    assert made == pytest.approx([0.5, 1.0, 0.5])


def test_the_bootstrap_of_a_mean_agrees_with_the_formula():
    """200 coin tosses: the 95 % interval is 2 * 1.96 standard errors wide."""
    values = np.array([0.0, 1.0] * 100)
    low, high = bootstrap(values)

    assert high - low == pytest.approx(2 * 1.96 * 0.5 / 200**0.5, rel=0.05)


def test_rows_of_a_group_are_one_unit_and_the_order_of_rows_does_not_matter():
    ids, groups = ["a", "b", "c", "d"], ["x", "", "x", "y"]
    units = blocks(ids, groups)
    turned = blocks(ids[::-1], groups[::-1])

    assert sorted(map(sorted, units)) == [[0, 2], [1], [3]]
    assert [{ids[row] for row in unit} for unit in units] == [{ids[::-1][row] for row in unit} for unit in turned]


def test_many_rows_are_dealt_evenly_into_few_units():
    sizes = {len(unit) for unit in blocks([str(row) for row in range(720)])}

    assert sizes == {3, 4}


def scores(*values: float, units: int = 100) -> Scores:
    """Seeds with so many units right of 100, the first ones."""
    right = np.array([[float(unit < value * units) for unit in range(units)] for value in values])
    return Scores(np.array(values), right)


def test_equal_runs_differ_by_nothing():
    made = compare({"same": (scores(0.5, 0.6), scores(0.5, 0.6))})["same"]

    assert (made.difference, made.p, made.verdict) == (0, 1, "within noise")


def test_a_large_gain_helps_and_its_loss_hurts():
    good, bad = scores(0.9, 0.91, 0.9), scores(0.5, 0.51, 0.5)

    assert compare({"v": (good, bad)})["v"].verdict == "helps"
    assert compare({"v": (bad, good)})["v"].verdict == "hurts"
    assert compare({"v": (good, bad)}, higher_is_better=False)["v"].verdict == "hurts"


def test_a_gain_that_is_certain_alone_may_be_noise_among_many():
    """Right on 7 units of 100 more, in all seeds: .07 / sqrt(.07 * .93 / 99) = 2.73 standard errors, p = .008."""
    base = scores(0.5, 0.5)
    pair, noise = (scores(0.57, 0.57), base), {str(number): (base, base) for number in range(19)}

    alone, among = compare({"v": pair})["v"], compare({"v": pair, **noise})["v"]
    assert alone.p == among.p == pytest.approx(0.0075, abs=0.0005)
    assert among.p_holm == pytest.approx(20 * among.p)
    assert (alone.verdict, among.verdict) == ("helps", "within noise")


def told(studies: int, seeds: int) -> Namespace:
    return Namespace(studies=studies, seeds=seeds, rows=600, accuracy=0.9, gain=0.03, seed=0)


def test_simulated_studies_without_effect_seldom_say_more_than_noise(simulation):
    """Of 300 studies of six variants and three unsteady seeds; degrees of freedom after Satterthwaite made 9 %."""
    wrong = simulation.rate(simulation.WORLDS[-1], [0.0] * 6, {"helps", "hurts"}, told(300, 3), "no effect")

    assert wrong <= 0.06


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("count", [1, 6])
def test_of_2000_simulated_studies_at_most_6_percent_are_wrong_in_any_world(simulation, seeds, count):
    for world in simulation.WORLDS:
        wrong = simulation.rate(world, [0.0] * count, {"helps", "hurts"}, told(2000, seeds), "no effect")
        assert wrong <= 0.06, world

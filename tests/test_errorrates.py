"""False accepts and rejects by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmtrain.errorrates import error_rates


def test_rates_of_a_case_by_hand() -> None:
    """Commands score .9, .8, .3, noise .5 and .1: at .5 a third of the commands and half of the noise go wrong."""
    rates = error_rates(np.array([0.9, 0.8, 0.3, 0.5, 0.1]), np.array([True, True, True, False, False]))

    rounded = [(round(accepted), round(rejected)) for accepted, rejected in rates.points()]
    assert rounded == [(0, 100), (0, 67), (0, 33), (50, 33), (50, 0), (100, 0)]
    assert rates.scores() == pytest.approx({"equal_error_rate": 1 / 3, "false_rejects_at_1_percent": 1 / 3})


def test_rows_of_one_sort_have_no_rates() -> None:
    rates = error_rates(np.array([0.9, 0.8]), np.array([True, True]))

    assert all(map(math.isnan, rates.scores().values()))
    assert rates.points() == []

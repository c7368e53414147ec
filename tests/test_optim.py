"""Schedules are pure functions, groups cover every parameter once, the moving average starts fast."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmtrain.optim import Constant, Cosine, Linear, MovingAverage, equal, exponential, fill_gradients, parameter_groups


def test_cosine_warms_up_then_falls_to_zero() -> None:
    """Ten steps, two of warm-up: half, whole, then down; the middle of the fall is one half."""
    schedule = Cosine(10, warmup=0.2)

    assert [schedule(step) for step in (0, 1, 2)] == [0.5, 1.0, 1.0]
    assert schedule(6) == pytest.approx(0.5)
    assert schedule(10) == pytest.approx(0.0)


def test_linear_falls_evenly_to_its_final_share() -> None:
    """From 1 to 0.2 over ten steps: 0.6 half way."""
    assert Linear(10, warmup=0.0, final=0.2)(5) == pytest.approx(0.6)


def test_only_constant_is_open_ended() -> None:
    """The rate of a step does not depend on the length of the run under `constant` alone."""
    assert Constant(10)(3) == Constant(1000)(3)
    assert [kind.open_ended for kind in (Constant, Cosine, Linear)] == [True, False, False]


def test_biases_and_norms_do_not_decay_and_nothing_is_left_out() -> None:
    """A linear layer and a norm: one matrix decays, three vectors do not; frozen parameters are in neither group."""
    model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1))
    for parameter in model[2].parameters():
        parameter.requires_grad = False
    decayed, other = parameter_groups(model)

    assert decayed["params"] == [model[0].weight]
    assert other["params"] == [model[0].bias, model[1].weight, model[1].bias]
    assert other["weight_decay"] == 0.0


def test_an_untouched_parameter_gets_zeros() -> None:
    """So that AdamW treats it alike, however rows fall into batches and processes."""
    model = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)])
    torch.autograd.backward(model[0](torch.ones(1, 1)).sum())
    fill_gradients(model)

    assert model[1].weight.grad is not None
    assert model[1].weight.grad.item() == 0.0
    assert model[0].weight.grad.item() == 1.0


def test_an_equal_average_is_the_weights_themselves_until_it_starts() -> None:
    """Weights of 1, 2, 3, 5 and 1, of which the first two do not count: 3, then (3 + 5) / 2, then 9 / 3."""
    model = nn.Linear(1, 1, bias=False)
    average = MovingAverage(model, equal(2))
    found = []
    for value in (1.0, 2.0, 3.0, 5.0, 1.0):
        nn.init.constant_(model.weight, value)
        average.update(model)
        found.append(average.weights["weight"].item())

    assert found == [1, 2, 3, 4, pytest.approx(3)]


def test_moving_average_follows_quickly_at_first() -> None:
    """After one update the weight kept is 2/11 of the old one, not the configured 0.999."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = MovingAverage(model, exponential(0.999))
    nn.init.ones_(model.weight)
    average.update(model)

    assert average.weights["weight"].item() == pytest.approx(1 - 2 / 11)
    with average.applied(model):
        assert model.weight.item() == pytest.approx(1 - 2 / 11)
    assert model.weight.item() == 1.0

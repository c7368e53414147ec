"""What the balancing techniques compute, by hand: OGM-GE, MMPareto, contrastive alignment, unimodal heads."""

from __future__ import annotations

import math

import pytest
import torch

from mmtrain.contracts import Batch, DataSpec, Signal
from mmtrain.target import Target, TargetSpec
from mmtrain.tasks.classification import Classification
from mmtrain.techniques.alignment import contrast
from mmtrain.techniques.gradient_blending import Blending, blend
from mmtrain.techniques.mmpareto import combine
from mmtrain.techniques.ogm_ge import coefficients, modulate
from mmtrain.techniques.unimodal import tally


def test_ogm_slows_the_modality_that_runs_ahead():
    """ρ = .8 / .4 = 2 and 1/2; of three, .9 / mean(.3, .3) = 3 and .3 / .6 twice; of one, nobody to compare with."""
    assert coefficients([0.8, 0.4], 0.5) == [1 - math.tanh(1.0), 1.0]
    assert coefficients([0.3, 0.9, 0.3], 0.1) == [1.0, pytest.approx(1 - math.tanh(0.3)), 1.0]
    assert coefficients([0.7], 0.5) == [1.0]


def test_ogm_scales_gradients_and_adds_noise_as_large_as_they_are():
    """A bias of 4 is halved exactly; a matrix of ±4 (deviation 4) gets noise of deviation 4 around half its values."""
    bias, matrix = torch.full((3,), 4.0), torch.full((100, 100), 4.0)
    matrix[::2] = -4.0
    half = matrix / 2
    torch.manual_seed(0)
    modulate([bias, matrix], 0.5)

    assert bias.tolist() == [2.0] * 3
    assert (matrix - half).std().item() == pytest.approx(4.0, rel=0.05)
    assert (matrix - half).mean().item() == pytest.approx(0.0, abs=0.2)


def test_mmpareto_adds_gradients_that_agree():
    """(1, 0) and (1, 2): their sum, stretched by 1.5. Two parameters count as one vector."""
    (first, second) = combine(
        [torch.tensor([1.0]), torch.tensor([0.0])], [torch.tensor([1.0]), torch.tensor([2.0])], 1.5
    )

    assert (first.item(), second.item()) == (3.0, 3.0)


def test_mmpareto_finds_the_direction_that_serves_both():
    """g = (1, 0) and u = (-1, 1): a = (u - g)·u / |g - u|² = 3/5, 2(.6 g + .4 u) = (.4, .8) of length √.8, made as long
    as g + u = (0, 1); it rises as much along g as along u."""
    g, u = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0])
    (h,) = combine([g], [u], 1.0)

    torch.testing.assert_close(h, torch.tensor([0.4, 0.8]) / 0.8**0.5)
    torch.testing.assert_close(h @ g, h @ u)


def test_blending_weighs_gain_by_the_square_of_overfitting():
    """G = 2, 1, 1 and O = 2, 1, -.5: G / O² = .5, 1, 4 of 5.5; nine tenths so, one tenth shared by three."""
    expected = [0.9 * one / 5.5 + 0.1 / 3 for one in (0.5, 1, 4)]

    assert blend([2, 1, 1], [2, 1, -0.5]) == pytest.approx(expected)


def test_blending_keeps_every_head_alive():
    """One that got worse has its part of the tenth; a gap of 0 counts as a tenth of the largest; no gain, no answer."""
    assert blend([1, -1], [1, 1]) == pytest.approx([0.95, 0.05])
    assert blend([1, 1], [0, 1]) == pytest.approx([0.9 * 100 / 101 + 0.05, 0.9 / 101 + 0.05])
    assert blend([3, 1], [0, 0]) == pytest.approx([0.9 * 0.75 + 0.05, 0.9 * 0.25 + 0.05])
    assert blend([0, -1], [1, 1]) == []


def test_blending_compares_one_measurement_with_the_one_before():
    """Head and joint fall from 3 to 2 on validation; the joint gap grows from 0 to 1, the other's from 0 to .5."""
    blending = Blending.start(1, 0.5)
    assert blending.weights == pytest.approx([2 / 3, 1 / 3])
    blending.measured(0, [3.0, 3.0], [3.0, 3.0])
    assert blending.weights == pytest.approx([2 / 3, 1 / 3])  # nothing to compare with
    blending.measured(10, [1.0, 1.5], [2.0, 2.0])
    assert blending.weights == pytest.approx([0.9 * 0.2 + 0.05, 0.9 * 0.8 + 0.05])
    weights = blending.weights
    blending.measured(20, [1.0, math.inf], [1.0, 1.0])

    assert (blending.weights, blending.val, blending.step) == (weights, [2.0, 2.0], 20)


def test_alignment_is_the_cross_entropy_of_finding_the_partner():
    """Two rows along the axes, τ = 1: each finds its own with -log(e / (e + 1)); with one row there is no other."""
    vectors = {"a": torch.eye(2), "b": 5 * torch.eye(2)}
    both = torch.tensor([True, True])
    one = torch.tensor([True, False])
    loss = math.log1p(math.exp(-1))

    everyone = contrast(vectors, {"a": both, "b": both}, torch.tensor([1.0, 3.0]), 1.0)
    assert everyone.item() == pytest.approx(4 * loss)
    assert contrast(vectors, {"a": both, "b": one}, torch.ones(2), 1.0).item() == 0.0
    assert contrast({"a": torch.eye(2)}, {"a": both}, torch.ones(2), 1.0).item() == 0.0


def test_alignment_is_finite_where_nothing_can_be_aligned():
    vector = torch.zeros(2, 4, requires_grad=True)
    nobody = torch.zeros(2, dtype=torch.bool)
    loss = contrast({"a": vector, "b": vector}, {"a": nobody, "b": nobody}, torch.ones(2), 0.07)
    loss.backward()

    assert loss.item() == 0
    assert torch.equal(vector.grad, torch.zeros(2, 4))


def test_a_row_counts_for_the_heads_of_the_modalities_it_has():
    """Of three rows the second lacks `b` and the third has no target; two classes at 1/4 and 3/4, class 1 is true."""
    spec = DataSpec({}, {"label": TargetSpec("label", "class", ("no", "yes"), (1, 1))})
    signals = {
        "a": Signal(torch.zeros(3, 1), torch.tensor([[True], [True], [True]])),
        "b": Signal(torch.zeros(3, 1), torch.tensor([[True], [False], [True]])),
    }
    target = Target(torch.tensor([1, 1, 0]), torch.tensor([True, True, False]))
    batch = Batch(signals, {"label": target}, ["1", "2", "3"], torch.zeros(3), torch.ones(3), {})
    logits = torch.tensor([[0.0, math.log(3)]]).expand(3, -1)
    heads = tally(Classification(spec), {"a": logits, "b": logits}, batch)

    torch.testing.assert_close(heads.loss, -math.log(0.75) * torch.tensor([2.0, 1.0]))
    torch.testing.assert_close(heads.likelihood, torch.tensor([1.5, 0.75]))
    assert heads.weight.tolist() == [2.0, 1.0]

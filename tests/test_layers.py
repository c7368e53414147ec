"""Mask arithmetic and small layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmtrain.contracts import Signal, SignalSpec, Tokens
from mmtrain.layers import MaskedBatchNorm, grid, join, lengths, masked_mean, picture_shape, presence, zeroed

NAN = float("nan")


def test_padding_does_not_change_the_mean():
    """Two real tokens of 1 and 3 average to 2, whatever the padding holds."""
    values = torch.tensor([[[1.0], [3.0], [NAN]]])  # [B=1,L=3,D=1]
    mask = torch.tensor([[True, True, False]])

    assert masked_mean(values, mask).item() == 2.0


def test_the_mean_of_nothing_is_zero():
    assert masked_mean(torch.ones(1, 2, 1), torch.zeros(1, 2, dtype=torch.bool)).item() == 0.0


def test_a_row_without_steps_counts_as_one_step():
    mask = torch.tensor([[True, True, False], [False, False, False]])

    assert lengths(mask).tolist() == [2, 1]


def test_zeroed_covers_words_sounds_and_pictures():
    mask = torch.tensor([[True], [False]])

    assert zeroed(Signal(torch.tensor([[5], [9]]), mask)).tolist() == [[5], [0]]
    picture = zeroed(Signal(torch.full((2, 3, 4, 4), NAN).index_fill(0, torch.tensor([0]), 1.0), mask))
    assert picture.sum(dim=(1, 2, 3)).tolist() == [48.0, 0.0]


def test_join_keeps_the_order_asked_for_and_fills_unknown_positions_with_nan():
    one, two = torch.ones(1, 1, 2), torch.full((1, 2, 2), 2.0)
    tokens = {
        "a": Tokens(one, torch.tensor([[True]])),
        "b": Tokens(two, torch.tensor([[True, False]]), torch.zeros(1, 2, 3)),
    }
    joined, spans = join(tokens, ("b", "a"))

    assert joined.values[0, :, 0].tolist() == [2.0, 2.0, 1.0]
    assert joined.mask.tolist() == [[True, False, True]]
    assert spans == {"b": slice(0, 2), "a": slice(2, 3)}
    assert joined.positions.isnan().all(dim=2).tolist() == [[False, False, True]]
    assert presence(tokens, ("b", "a")).tolist() == [[True, True]]


def test_without_padding_masked_batch_norm_is_batch_norm():
    """Output, gradient and running statistics, in training and after it."""
    ours, theirs = MaskedBatchNorm(3), nn.BatchNorm2d(3)
    values = torch.randn(4, 3, 5, 2, generator=torch.Generator().manual_seed(0)) * 3 + 1
    mine, other = values.clone().requires_grad_(), values.clone().requires_grad_()
    mask = torch.ones(4, 5, dtype=torch.bool)

    (out, expected) = ours(mine, mask), theirs(other)
    torch.testing.assert_close(out, expected)
    out.square().mul(values).sum().backward()
    expected.square().mul(values).sum().backward()
    torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.norm.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.norm.running_var, theirs.running_var)
    torch.testing.assert_close(ours.eval()(values, mask), theirs.eval()(values))


def test_padding_does_not_change_the_statistics_of_masked_batch_norm():
    """Trained on sounds padded by 6 steps, it gives and remembers what it does without the padding."""
    values = torch.randn(2, 3, 4, 2, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(2, 4, dtype=torch.bool)
    padded = nn.functional.pad(values, (0, 0, 0, 6), value=9.0)
    longer = nn.functional.pad(mask, (0, 6))
    short, long = MaskedBatchNorm(3), MaskedBatchNorm(3)
    expected, out = short(values, mask), long(padded, longer)

    torch.testing.assert_close(out[:, :, :4], expected)
    assert out[:, :, 4:].abs().max() == 0
    torch.testing.assert_close(long.norm.running_var, short.norm.running_var)


def test_a_grid_is_read_row_by_row():
    maps = torch.arange(6.0).view(1, 1, 2, 3)  # [B=1,D=1,H=2,W=3]
    tokens = grid(maps, torch.tensor([[True]]))

    assert tokens.values[0, :, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert tokens.positions[0, :, 0].isnan().all()
    torch.testing.assert_close(tokens.positions[0, 4, 1:], torch.tensor([0.75, 0.5]))  # second row, middle column


def test_a_sound_is_no_picture():
    with pytest.raises(ValueError, match="modality `noise` is audio"):
        picture_shape(SignalSpec("noise", "audio", sample_rate=8000, length=9))

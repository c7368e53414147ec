"""Attention blocks: worked by hand, positions, heads."""

from __future__ import annotations

import math

import pytest
import torch

from mmtrain.blocks import AttentionBlock, TokenInput, position_code, require_heads, with_token
from mmtrain.contracts import Tokens
from tests.components import read_evenly


def test_a_block_adds_what_it_reads_from_the_real_tokens():
    """1 + mean(2, 4) = 4, whatever lies under the mask; of itself, 1 + 1."""
    values, context = torch.tensor([[[1.0]]]), torch.tensor([[[2.0], [4.0], [99.0]]])
    mask = torch.tensor([[True, True, False]])
    block = read_evenly(AttentionBlock(1, 1))

    assert block(values, mask, context).item() == 4.0
    assert block(values, torch.tensor([[True]])).item() == 2.0


def test_a_block_has_twelve_squares_and_thirteen_widths():
    assert sum(p.numel() for p in AttentionBlock(8, 2).parameters()) == 12 * 8**2 + 13 * 8


def test_tokens_are_told_apart_by_their_modality_and_place():
    """Two equal tokens differ where their positions do, and where their modalities do."""
    make = TokenInput("ab", 12)
    one = torch.ones(1, 2, 12)
    places = torch.tensor([[[0.0, math.nan, math.nan], [1.0, math.nan, math.nan]]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    a, b = make({"a": Tokens(one, mask, places), "b": Tokens(one, mask)})

    assert not torch.allclose(a[0, 0], a[0, 1])
    assert torch.equal(b[0, 0], b[0, 1])
    assert not torch.allclose(a[0, 0], b[0, 0])


def test_an_axis_that_a_token_has_not_gets_no_code():
    """Width 13: 2 frequencies, 1/32 and 16 turns, of 3 axes, then a rest of one. At 8 s: a quarter turn, 128 turns."""
    code = position_code(torch.tensor([[[8.0, math.nan, 0.0]]]), 13)[0, 0]

    expected = torch.tensor([1.0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0])  # sines, then cosines, of each axis
    torch.testing.assert_close(code, expected, atol=1e-4, rtol=0)


def test_own_tokens_are_real_in_every_row():
    values, mask = with_token(torch.zeros(2, 3, 4), torch.zeros(2, 3, dtype=torch.bool), torch.ones(1, 4))

    assert values.shape == (2, 4, 4)
    assert mask.tolist() == [[True, False, False, False]] * 2


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match=r"`num_heads` \(=4\) must divide `hidden_size` \(=6\); try num_heads=3\."):
        require_heads(6, 4, name="hidden_size")

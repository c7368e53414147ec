"""The strategies that attend to tokens: parameter counts by their formulas, and a case of each worked by hand.

In the cases of width 1, norms are the identity and blocks read evenly: x + mean of the real tokens that it reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from mmtrain.blocks import AttentionBlock
from mmtrain.contracts import Tokens
from mmtrain.fusion.bottleneck import BottleneckFusion
from mmtrain.fusion.cross_attention import CrossAttentionFusion
from mmtrain.fusion.mult import MulTFusion
from mmtrain.fusion.perceiver import PerceiverFusion
from mmtrain.fusion.transformer import TransformerFusion
from tests.components import make_tokens, read_evenly

D, E, K, N = 8, 4, 2, 3


def block(width: int) -> int:
    return 12 * width**2 + 13 * width


def mult(m: int) -> int:
    w, pairs = max(m - 1, 1) * E, m * (m - 1)
    outside = 3 * m * D + m * D * E + (E if m > 1 else 0) + 2 * ((m * w) ** 2 + m * w) + (m * w + 1) * D
    return outside + pairs * (K * block(E) + 2 * E) + m * (3 * block(w) + 2 * w)


FORMULAS: dict[type[nn.Module], tuple[dict[str, int], Callable[[int], int]]] = {
    TransformerFusion: ({"num_layers": K}, lambda m: 3 * m * D + D + K * block(D) + 2 * D),
    CrossAttentionFusion: (
        {"num_layers": K},
        lambda m: 3 * m * D + 2 * D + (K * m * block(D) + D if m > 1 else 0),
    ),
    MulTFusion: ({"num_layers": K, "hidden_size": E}, mult),
    BottleneckFusion: (
        {"num_layers": K, "num_bottlenecks": N},
        lambda m: 4 * m * D + K * m * block(D) + 2 * D + N * D,
    ),
    PerceiverFusion: (
        {"num_layers": K, "num_latents": N},
        lambda m: 3 * m * D + (N + 2) * D + (K + 2) * block(D) + 2 * D,
    ),
}


@pytest.mark.parametrize("strategy", list(FORMULAS), ids=lambda strategy: strategy.__name__)
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_parameters_are_those_of_the_formula(strategy: type[nn.Module], count: int):
    """As the docstring of each states it, for M modalities of width D = 8."""
    options, formula = FORMULAS[strategy]

    assert sum(p.numel() for p in strategy("abcd"[:count], D, **options).parameters()) == formula(count)


def simple(fusion: nn.Module) -> nn.Module:
    """Blocks that read evenly; no norms; learned tokens, latents and modality vectors of zero."""
    for part in fusion.modules():
        if isinstance(part, AttentionBlock):
            read_evenly(part)
        if isinstance(part, nn.LayerNorm):
            part.forward = lambda values: values
        for parameter in part.parameters(recurse=False):
            if not isinstance(part, nn.Linear | nn.MultiheadAttention | nn.LayerNorm):
                nn.init.zeros_(parameter)
    return fusion.eval()


def one_and_two(*, second: bool = True) -> dict[str, Tokens]:
    """One sample: `a` is 1, `b` is 3 and 5, or absent; a masked token each."""
    return {
        "a": Tokens(torch.tensor([[[1.0], [9.0]]]), torch.tensor([[True, False]])),
        "b": Tokens(torch.tensor([[[3.0], [5.0], [9.0]]]), torch.tensor([[second, second, False]])),
    }


def test_transformer_reads_all_tokens_at_once():
    """0 + mean(0, 1, 3, 5) = 9/4; without b, mean(0, 1)."""
    fusion = simple(TransformerFusion("ab", 1, num_layers=1, num_heads=1))

    assert fusion(one_and_two()).pooled.item() == pytest.approx(9 / 4)
    assert fusion(one_and_two(second=False)).pooled.item() == 0.5


def test_cross_attention_reads_the_others():
    """a: 1 + mean(0, 3, 5) = 11/3; b: 3 and 5, + mean(0, 1) each, 4.5 in the mean; a alone: 1 + 0."""
    fusion = simple(CrossAttentionFusion("ab", 1, num_heads=1))
    fused = fusion(one_and_two())

    assert fused.pooled.item() == pytest.approx((11 / 3 + 4.5) / 2)
    torch.testing.assert_close(fused.sequence.values[0, [0, 2, 3], 0], torch.tensor([11 / 3, 3.5, 5.5]))
    assert fusion(one_and_two(second=False)).pooled.item() == 1.0


def test_mult_reads_pair_by_pair_and_then_itself():
    """b->a: 1 + mean(0, 3, 5) = 11/3; a->b: 4.5 in the mean; three blocks of self-attention of equal tokens double
    each time, and keep the mean of unequal ones likewise. Without b: 8 * (1 + 0), and 0 for b."""
    fusion = simple(MulTFusion("ab", 1, hidden_size=1, num_layers=1, num_heads=1))
    for map_ in fusion.maps:
        nn.init.ones_(map_.weight)
    nn.init.zeros_(fusion.mlp[3].weight)
    nn.init.zeros_(fusion.mlp[3].bias)
    fusion.out = nn.Identity()

    torch.testing.assert_close(fusion(one_and_two()).pooled, torch.tensor([[8 * 11 / 3, 8 * 4.5]]))
    assert fusion(one_and_two(second=False)).pooled.tolist() == [[8.0, 0.0]]


@pytest.mark.parametrize(
    ("fusion_layer", "first", "second"),
    [(0, 23 / 18, 139 / 24), (1, 7 / 6, 20 / 3), (2, 3 / 2, 8.0)],
    ids=["early", "nothing to read yet", "late"],
)
def test_bottleneck_exchanges_through_its_tokens_only(fusion_layer: int, first: float, second: float):
    """Two layers; each stream begins as CLS 0 and its tokens, F as 0. What `a` and `b` come to:

    Early: (0, 1, F 0) has mean 1/3: (1/3, 4/3, F_a 1/3); (0, 3, 5, F 0) has mean 2: (2, 5, 7, F_b 2); F = 7/6. Then
    1/3 + mean(1/3, 4/3, 7/6) = 23/18, and 2 + mean(2, 5, 7, 7/6) = 139/24. One layer of fusion reads F as it began:
    1/2 + mean(1/2, 3/2, 0) = 7/6, and 8/3 + mean(8/3, 17/3, 23/3, 0) = 20/3. Late: 1/2 + 1, and 8/3 + 16/3.
    """
    fusion = simple(BottleneckFusion("ab", 1, num_layers=2, fusion_layer=fusion_layer, num_bottlenecks=1, num_heads=1))

    assert fusion(one_and_two()).pooled.item() == pytest.approx((first + second) / 2)


def test_bottleneck_leaves_an_absent_modality_out_of_the_mean():
    """F = F_a = 1/3 after the first block; then 1/3 + mean(1/3, 4/3, 1/3) = 1."""
    fusion = simple(BottleneckFusion("ab", 1, num_layers=2, fusion_layer=0, num_bottlenecks=1, num_heads=1))

    assert fusion(one_and_two(second=False)).pooled.item() == pytest.approx(1.0)


def test_perceiver_reads_thinks_and_answers():
    """0 + mean(0, 1, 3, 5) = 9/4, of itself 9/2, and the query 0 + 9/2; without b: 1/2 and 1."""
    fusion = simple(PerceiverFusion("ab", 1, num_latents=2, num_heads=1))

    assert fusion(one_and_two()).pooled.item() == pytest.approx(4.5)
    assert fusion(one_and_two(second=False)).pooled.item() == 1.0


@pytest.mark.parametrize("strategy", list(FORMULAS), ids=lambda strategy: strategy.__name__)
def test_where_a_token_stands_matters(strategy: type[nn.Module]):
    """The same tokens at other seconds give another vector."""
    torch.manual_seed(0)
    fusion = strategy("ab", 12).eval()
    tokens = make_tokens("ab", [[True, True]], width=12)

    def placed(*seconds: float) -> torch.Tensor:
        places = torch.tensor([[[second, math.nan, math.nan] for second in seconds]])
        return fusion(tokens | {"a": tokens["a"]._replace(positions=places)}).pooled

    assert not torch.allclose(placed(0.0, 1.0), placed(1.0, 0.0), atol=1e-4)


@pytest.mark.parametrize("strategy", list(FORMULAS), ids=lambda strategy: strategy.__name__)
def test_heads_must_divide_the_width(strategy: type[nn.Module]):
    with pytest.raises(ValueError, match=r"`num_heads` \(=5\) must divide `(width|hidden_size)` \(="):
        strategy("ab", 8, num_heads=5)


def test_bottleneck_refuses_a_fusion_layer_beyond_its_layers():
    with pytest.raises(ValueError, match=r"`fusion_layer` \(=3\) must be at most `num_layers` \(=2\)\."):
        BottleneckFusion("ab", 8, fusion_layer=3)

"""The fusion strategies: parameter counts by their formulas, and a case of each worked by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mmtrain import build
from mmtrain.contracts import Fused, Tokens
from mmtrain.errors import ConfigError
from mmtrain.fusion.attention import AttentionFusion
from mmtrain.fusion.attentive_pooling import AttentivePoolingFusion
from mmtrain.fusion.concat import ConcatFusion
from mmtrain.fusion.film import FiLMFusion
from mmtrain.fusion.gated import GatedFusion
from mmtrain.fusion.gmu import GMUFusion
from mmtrain.fusion.late import LateFusion, LateHead
from mmtrain.fusion.low_rank import LowRankFusion
from mmtrain.fusion.none import NoFusion
from mmtrain.fusion.product import ProductFusion
from mmtrain.fusion.sum import SumFusion
from mmtrain.fusion.tensor import TensorFusion
from tests import tiny

D, A, H, Q, P = 8, 5, 6, 3, 2

FORMULAS: dict[type[nn.Module], tuple[dict[str, int], Callable[[int], int]]] = {
    NoFusion: ({}, lambda m: 0),
    LateFusion: ({}, lambda m: 0),
    ConcatFusion: ({"hidden_size": H}, lambda m: 3 * m * D + (m * D + m + 1) * H + (H + 1) * D),
    SumFusion: ({"hidden_size": H}, lambda m: m * (D**2 + 3 * D) + (D + 1) * H + (H + 1) * D),
    AttentionFusion: (
        {"attention_size": A, "hidden_size": H},
        lambda m: m * (D**2 + 3 * D) + D + A * (2 * D + 2) + (D + 1) * H + (H + 1) * D,
    ),
    GMUFusion: ({}, lambda m: 2 * m * D + m * D**2 + m * (m - 1) * D**2),
    GatedFusion: ({}, lambda m: 2 * m * D + m * (D**2 + D) + (D**2 + D if m > 1 else 0)),
    FiLMFusion: ({}, lambda m: D**2 + 3 * D + (m - 1) * 4 * (D**2 + D)),
    ProductFusion: ({}, lambda m: m * (D**2 + 3 * D)),
    TensorFusion: (
        {"projection_size": P, "hidden_size": H},
        lambda m: m * (2 * D + D * P + P) + ((P + 1) ** m + 1) * H + (H + 1) * D,
    ),
    LowRankFusion: ({"rank": Q}, lambda m: 2 * m * D + m * Q * (D + 1) * D + Q + D),
    AttentivePoolingFusion: (
        {"num_queries": Q, "hidden_size": H},
        lambda m: (m + 1 + Q) * D + 2 * m * D + 4 * D + 4 * (D**2 + D) + D**2 + D + (Q * D + 1) * H + (H + 1) * D,
    ),
}


def vectors(*values: list[float] | None, width: int = 2) -> dict[str, Tokens]:
    """One sample: a single token of each modality a, b, ...; None: absent, of so many features if all are."""
    width = next((len(value) for value in values if value is not None), width)
    return {
        name: Tokens(torch.tensor([[value or [9.0] * width]]), torch.tensor([[value is not None]]))
        for name, value in zip("abcd", values, strict=False)
    }


def plain(fusion: nn.Module) -> nn.Module:
    """Makes every norm, linear map and the MLP the identity, so that sums can be done by hand."""
    for name, part in list(fusion.named_modules()):
        if isinstance(part, nn.Linear) and name.startswith("maps"):
            nn.init.eye_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        if isinstance(part, nn.LayerNorm):
            part.forward = lambda values: values
    fusion.mlp = nn.Identity()
    return fusion


def additive(fusion: AttentionFusion) -> nn.Module:
    """Scores of 2 tanh(p + q), and a token of 0."""
    fusion.token.data.zero_()
    nn.init.ones_(fusion.keys.weight)
    nn.init.zeros_(fusion.keys.bias)
    nn.init.ones_(fusion.query.weight)
    nn.init.constant_(fusion.score.weight, 2.0)
    return plain(fusion)


@pytest.mark.parametrize("strategy", list(FORMULAS), ids=lambda strategy: strategy.__name__)
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_parameters_are_those_of_the_formula(strategy: type[nn.Module], count: int):
    """As the docstring of each states it, for M modalities of width D = 8."""
    options, formula = FORMULAS[strategy]

    assert sum(p.numel() for p in strategy("abcd"[:count], D, **options).parameters()) == formula(count)


def test_none_is_the_mean_of_the_present():
    assert NoFusion("abc", 2)(vectors([1.0, 2.0], None, [3.0, 6.0])).pooled.tolist() == [[2.0, 4.0]]


def test_none_leaves_a_single_modality_as_it_is():
    """The mean of its two tokens, one modality being its own mean."""
    tokens = {"a": Tokens(torch.tensor([[[1.0], [2.0], [9.0]]]), torch.tensor([[True, True, False]]))}

    assert NoFusion("a", 1)(tokens).pooled.item() == 1.5


def test_concat_puts_vectors_null_vectors_and_presence_side_by_side():
    fusion = plain(ConcatFusion("ab", 2))
    fusion.absent.data = torch.tensor([[5.0, 6.0], [7.0, 8.0]])

    assert fusion(vectors([1.0, 2.0], None)).pooled.tolist() == [[1.0, 2.0, 7.0, 8.0, 1.0, 0.0]]


def test_concat_normalises_each_modality():
    """(1, 3) has mean 2 and deviation 1; what is a hundred times as large gives the same."""
    fusion = ConcatFusion("ab", 2)
    fusion.mlp = nn.Identity()

    expected = torch.tensor([[-1.0, 1.0, -1.0, 1.0, 1.0, 1.0]])
    torch.testing.assert_close(fusion(vectors([1.0, 3.0], [100.0, 300.0])).pooled, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("second", "expected"), [([3.0, 6.0], [2.0, 4.0]), (None, [1.0, 2.0])], ids=["both", "one absent"]
)
def test_sum_is_a_mean_over_the_present(second: list[float] | None, expected: list[float]):
    assert plain(SumFusion("ab", 2))(vectors([1.0, 2.0], second)).pooled.tolist() == [expected]


def test_attention_weighs_by_additive_scores():
    """Scores v tanh(u p + w q) with v = 2, u = w = 1 for p = 2, 1 and the token's 0: their mean, the query, is 1."""
    fusion = additive(AttentionFusion("ab", 1, attention_size=1))
    fused = fusion(vectors([2.0], [1.0]))

    first, second, token = (math.exp(2 * math.tanh(value + 1)) for value in (2, 1, 0))
    total = first + second + token
    torch.testing.assert_close(fused.weights, torch.tensor([[first / total, second / total]]))
    torch.testing.assert_close(fused.pooled, torch.tensor([[(2 * first + second) / total]]))


def test_attention_asks_only_the_present():
    """Alone with the token of 0, p = 2 makes a query of 1; what the absent modality would hold is in it not at all."""
    fused = additive(AttentionFusion("ab", 1, attention_size=1))(vectors([2.0], None))

    first, token = math.exp(2 * math.tanh(3)), math.exp(2 * math.tanh(1))
    torch.testing.assert_close(fused.weights, torch.tensor([[first / (first + token), 0.0]]))


def test_attention_shares_out_the_weight_of_an_absent_modality():
    """With equal scores each of two has a third beside the token; alone, one has half."""
    fusion = plain(AttentionFusion("ab", 1))
    nn.init.zeros_(fusion.score.weight)

    torch.testing.assert_close(fusion(vectors([1.0], [2.0])).weights, torch.tensor([[1 / 3, 1 / 3]]))
    torch.testing.assert_close(fusion(vectors([1.0], None)).weights, torch.tensor([[0.5, 0.0]]))


def test_attentive_pooling_reads_the_mean_where_its_queries_cannot_choose():
    """Queries of zero attend evenly: the value map, an identity, is read from 2 + 1 real tokens and our own of zero."""
    fusion = plain(AttentivePoolingFusion("ab", 2, num_queries=1, num_heads=1))
    fusion.queries.data.zero_()
    fusion.token.data.zero_()
    fusion.kinds.data.zero_()
    nn.init.zeros_(fusion.inner[0].weight)
    nn.init.zeros_(fusion.inner[0].bias)
    fusion.attention.in_proj_weight.data = torch.cat([torch.eye(2)] * 3)
    nn.init.zeros_(fusion.attention.in_proj_bias)
    nn.init.eye_(fusion.attention.out_proj.weight)
    nn.init.zeros_(fusion.attention.out_proj.bias)
    tokens = {
        "a": Tokens(torch.tensor([[[1.0, 0.0], [3.0, 0.0], [9.0, 9.0]]]), torch.tensor([[True, True, False]])),
        "b": Tokens(torch.tensor([[[0.0, 4.0]]]), torch.tensor([[True]])),
    }
    fused = fusion(tokens)

    torch.testing.assert_close(fused.pooled, torch.tensor([[1.0, 1.0]]))
    torch.testing.assert_close(fused.weights, torch.tensor([[0.5, 0.25]]))


def test_attentive_pooling_refuses_heads_that_do_not_divide_the_width():
    with pytest.raises(ValueError, match=r"`num_heads` \(=4\) must divide `width` \(=6\); try num_heads=3\."):
        AttentivePoolingFusion("ab", 6)


def test_gmu_gates_two_modalities_by_a_sigmoid():
    """σ(ln 3) = 3/4: z = 3/4 tanh(1) + 1/4 tanh(2), the paper's formula."""
    fusion = plain(GMUFusion("ab", 1))
    fusion.gates[0].weight.data = torch.tensor([[math.log(3), 0.0]])
    fused = fusion(vectors([1.0], [2.0]))

    torch.testing.assert_close(fused.pooled.item(), 0.75 * math.tanh(1) + 0.25 * math.tanh(2))
    torch.testing.assert_close(fused.weights, torch.tensor([[0.75, 0.25]]))


def test_gmu_shares_out_the_gate_of_an_absent_modality():
    fusion = plain(GMUFusion("ab", 1))

    assert fusion(vectors(None, [2.0])).pooled.item() == pytest.approx(math.tanh(2))
    assert fusion(vectors(None, None, width=1)).pooled.item() == 0


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [([1.0, 0.0], [4.0, 8.0], [3.0, 4.0]), (None, [4.0, 8.0], [4.0, 8.0]), ([1.0, 0.0], None, [1.0, 0.0])],
    ids=["both", "no gater", "nothing to gate"],
)
def test_gated_multiplies_by_the_gate_of_another(first, second, expected):
    """Gates σ(ln 3) = 3/4 and σ(0) = 1/2 on 4 and 8; all pass where there is no gater, which passes alone."""
    fusion = plain(GatedFusion("ab", 2))
    fusion.gate.weight.data = torch.eye(2) * math.log(3)
    nn.init.zeros_(fusion.gate.bias)

    torch.testing.assert_close(fusion(vectors(first, second)).pooled, torch.tensor([expected]))


def test_gated_lets_another_modality_be_the_gater():
    fusion = plain(GatedFusion("ab", 1, gater="b"))
    nn.init.zeros_(fusion.gate.weight)
    nn.init.zeros_(fusion.gate.bias)

    assert fusion(vectors([6.0], [100.0])).pooled.item() == 3.0


@pytest.mark.parametrize(("strategy", "key"), [(GatedFusion, "gater"), (FiLMFusion, "conditioner")])
def test_a_leading_modality_must_be_one_of_the_modalities(strategy: type[nn.Module], key: str):
    with pytest.raises(ValueError, match=rf"`fusion.{key}`: no modality 'imagee'. Did you mean `image`\?"):
        strategy(("text", "image"), D, **{key: "imagee"})


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [([9.0, 9.0], [1.0, 2.0], [3.0, 2.0]), (None, [1.0, 2.0], [2.0, 4.0]), ([3.0, 4.0], None, [3.0, 4.0])],
    ids=["both", "no conditioner", "nothing to condition"],
)
def test_film_rescales_and_shifts(first, second, expected):
    """Δγ = 1, β = (0, -5): y = (1, 2) + relu(2 * (1, 2) + (0, -5)) = (3, 2); Δγ = β = 0: twice (1, 2)."""
    fusion = plain(FiLMFusion("ab", 2))
    for part in (fusion.alone, fusion.blocks["b"].outer, fusion.blocks["b"].inner):
        nn.init.eye_(part.weight)
        nn.init.zeros_(part.bias)
    nn.init.zeros_(fusion.blocks["b"].generator.weight)
    fusion.blocks["b"].generator.bias.data = torch.tensor([1.0, 1.0, 0.0, -5.0])
    fused = fusion(vectors(first, second))

    torch.testing.assert_close(fused.pooled, torch.tensor([expected]))
    if second is not None:
        torch.testing.assert_close(fused.sequence.values[:, fused.spans["b"]], torch.tensor([[expected]]))


def test_product_multiplies_what_is_present():
    fusion = plain(ProductFusion("ab", 1))

    assert fusion(vectors([1.0], [2.0])).pooled.item() == pytest.approx(math.tanh(1) * math.tanh(2))
    assert fusion(vectors([1.0], None)).pooled.item() == pytest.approx(math.tanh(1))
    assert fusion(vectors(None, None, width=1)).pooled.item() == 1


def test_tensor_has_the_products_of_every_order():
    """(1, 2, 3) times (1, 5, 7); without the second, what is left of it is its 1."""
    fusion = plain(TensorFusion("ab", 2, projection_size=2))

    both, alone = fusion(vectors([2.0, 3.0], [5.0, 7.0])), fusion(vectors([2.0, 3.0], None))
    assert both.pooled.tolist() == [[1.0, 5.0, 7.0, 2.0, 10.0, 14.0, 3.0, 15.0, 21.0]]
    assert alone.pooled.tolist() == [[1.0, 0.0, 0.0, 2.0, 0.0, 0.0, 3.0, 0.0, 0.0]]


def test_tensor_refuses_more_products_than_allowed():
    with pytest.raises(ValueError, match=r"33\^4 = 1,185,921 products of 128 weights each, .*\(=100,000\)"):
        TensorFusion("abcd", 128, projection_size=32)


@pytest.mark.parametrize(("second", "expected"), [([4.0], 49.5), (None, 21.5)], ids=["both", "one absent"])
def test_low_rank_adds_up_products_of_factors(second: list[float] | None, expected: float):
    """(1 + 2*3)(1 + 4) + (3)(3)/2 + 10; without the second (1 + 2*3)(1) + (3)(3)/2 + 10."""
    fusion = plain(LowRankFusion("ab", 1, rank=2))
    first = [[1.0, 2.0], [0.0, 1.0]]  # of each rank: the weight of the constant, and that of the feature
    other = [[1.0, 1.0], [3.0, 0.0]]
    fusion.factors.data = torch.tensor([first, other]).unsqueeze(-1)
    fusion.weight.data, fusion.bias.data = torch.tensor([1.0, 0.5]), torch.tensor([10.0])

    assert fusion(vectors([3.0], second)).pooled.item() == expected


class PooledHead(nn.Module):
    """Its logits are the vector it gets."""

    def forward(self, fused: Fused) -> torch.Tensor:
        return fused.pooled


@pytest.mark.parametrize(
    ("combine", "both", "alone"), [("mean", [3.0, 5.0], [1.0, 2.0]), ("product", [6.0, 10.0], [1.0, 2.0])]
)
def test_late_combines_the_logits_of_those_that_are_present(combine, both, alone):
    """Logits (1, 2) and (5, 8). No vote at all: zeros, the same for every class."""
    fusion = LateFusion("ab", 2, combine=combine)
    head = fusion.make_head(lambda width: PooledHead())

    assert head(fusion(vectors([1.0, 2.0], [5.0, 8.0]))).tolist() == [both]
    assert head(fusion(vectors([1.0, 2.0], None))).tolist() == [alone]
    assert head(fusion(vectors(None, None))).tolist() == [[0.0, 0.0]]


def test_a_sum_of_logits_is_the_product_of_the_experts():
    """p = (1/4, 3/4) and (1/2, 1/2): the product is 1/8 to 3/8, that is 1/4 to 3/4."""
    fusion = LateFusion("ab", 2, combine="product")
    head = fusion.make_head(lambda width: PooledHead())
    logits = head(fusion(vectors([7.0, 7.0 + math.log(3)], [2.0, 2.0])))

    torch.testing.assert_close(logits.softmax(dim=-1), torch.tensor([[0.25, 0.75]]))


def test_late_is_refused_for_a_task_without_logits(tmp_path):
    config = tiny.config(tmp_path, "fusion=late")
    parts = build.build(config)
    task = SimpleNamespace(make_head=parts.task.make_head)

    assert isinstance(parts.model.head, LateHead)
    with pytest.raises(ConfigError, match="`fusion`: LateFusion combines logits, and the outputs of SimpleNamespace"):
        build.build_model(config, parts.settings, parts.data.spec, task)

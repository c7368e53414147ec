"""The encoders of tables: the vector of each column, and their sizes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmtrain.column_vectors import ColumnVectors
from mmtrain.contracts import ColumnSpec, Signal, SignalSpec
from mmtrain.encoders.ft_transformer import FTTransformer
from mmtrain.encoders.tabular_mlp import TabularMLP

SPEC = SignalSpec("tabular", "tabular", length=3, columns=(ColumnSpec(("a", "b")), ColumnSpec(), ColumnSpec(("c",))))


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def row(values: list[float], mask: list[bool]) -> Signal:
    return Signal(torch.tensor([values]), torch.tensor([mask]))


def test_a_column_gives_its_bias_and_its_number_or_category():
    """b_2 + 3 w_2 for the number 3, b_j + e_j for a category, nothing for a blank cell."""
    vectors = ColumnVectors(SPEC, 2)
    with torch.no_grad():
        vectors.bias.copy_(torch.tensor([[1.0, 0], [2, 0], [3, 0]]))
        vectors.weight.copy_(torch.tensor([[0.0, 10]]))
        vectors.table.copy_(torch.tensor([[0.0, 0], [0, 1], [0, 2], [0, 0], [0, 5]]))  # unknown, a, b; unknown, c

    assert vectors(row([2, 3, 1], [True] * 3))[0].tolist() == [[1, 2], [2, 30], [3, 5]]
    assert vectors(row([1, 3, 0], [True, False, True]))[0].tolist() == [[1, 1], [0, 0], [3, 0]]


def test_a_category_that_training_lacks_starts_as_the_bias_alone():
    vectors = ColumnVectors(SPEC, 4)

    assert torch.equal(vectors(row([0, 0, 0], [True] * 3))[0], vectors.bias)


def test_ft_transformer_has_the_parameters_of_the_paper():
    """Of one block with d = 8: attention 4 d^2 + 4 d, ReGLU of 10 hidden units, one norm; none before the first."""
    tokenizer = 8 * (3 + 1 + 5)
    block = 4 * 64 + 4 * 8 + (8 * 20 + 20) + (10 * 8 + 8)

    assert size(FTTransformer(SPEC, hidden_size=8, num_layers=2, num_heads=2)) == tokenizer + 2 * block + 3 * 16 + 16


def test_mlp_reads_all_columns_side_by_side():
    """3 columns of 4 numbers into 5 hidden units and 5 outputs."""
    assert size(TabularMLP(SPEC, hidden_size=5, embedding_size=4)) == 4 * (3 + 1 + 5) + (12 * 5 + 5) + (5 * 5 + 5)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match=r"`num_heads` \(=5\) must divide `hidden_size` \(=192\); try 190"):
        FTTransformer(SPEC, num_heads=5)

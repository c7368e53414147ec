"""The columns of a table as vectors, one a column: what every encoder of tables begins with.

The feature tokenizer of Gorishniy et al. 2021, "Revisiting Deep Learning Models for Tabular Data",
https://arxiv.org/abs/2106.11959: column j gives b_j + x_j w_j if it holds numbers x_j, b_j + e_j[x_j] if it holds
categories. Differs: a category that training did not have starts as b_j alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from mmtrain.contracts import Signal, SignalSpec
from mmtrain.layers import zeroed


class ColumnVectors(nn.Module):
    """Turns a row of T columns into T vectors.

    Args:
        spec: A tabular modality.
        width: D of the vectors.

    Raises:
        ValueError: The modality has no columns.
    """

    numbers: Tensor
    categories: Tensor
    first: Tensor

    def __init__(self, spec: SignalSpec, width: int) -> None:
        super().__init__()
        if not spec.columns:
            raise ValueError(f"reads columns of a table, but modality `{spec.name}` is {spec.kind}")
        ids = [index for index, column in enumerate(spec.columns) if column.categories]
        sizes = torch.tensor([len(spec.columns[index].categories) + 1 for index in ids], dtype=torch.int64)
        first = sizes.cumsum(0) - sizes  # where each column's rows of the one table begin: at its id 0
        numbers = [index for index, column in enumerate(spec.columns) if not column.categories]
        self.register_buffer("numbers", torch.tensor(numbers, dtype=torch.int64), persistent=False)
        self.register_buffer("categories", torch.tensor(ids, dtype=torch.int64), persistent=False)
        self.register_buffer("first", first, persistent=False)
        bound = width**-0.5  # as the authors' code draws all three
        self.bias = nn.Parameter(torch.empty(len(spec.columns), width).uniform_(-bound, bound))
        if numbers:
            self.weight = nn.Parameter(torch.empty(len(numbers), width).uniform_(-bound, bound))
        if ids:
            table = torch.empty(int(sizes.sum()), width).uniform_(-bound, bound)
            table[first] = 0
            self.table = nn.Parameter(table)

    def forward(self, signal: Signal) -> Tensor:
        """Rows [B,T] -> [B,T,width], zeros where a cell is blank."""
        values = zeroed(signal)  # [B,T]
        vectors = self.bias.expand(len(values), -1, -1)  # [B,T,D]
        if len(self.numbers):
            scaled = values[:, self.numbers].unsqueeze(-1) * self.weight  # [B,numbers,D]
            vectors = vectors.index_add(1, self.numbers, scaled)
        if len(self.categories):
            chosen = embedding(values[:, self.categories].long() + self.first, self.table)  # [B,categories,D]
            vectors = vectors.index_add(1, self.categories, chosen)
        return torch.where(signal.mask.unsqueeze(-1), vectors, 0)

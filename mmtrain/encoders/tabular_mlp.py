"""MLP over the columns of a table: the default for tables, one token.

Each column becomes a short vector, and an MLP reads all of them side by side: the MLP with linear embeddings of
Gorishniy et al. 2022, "On Embeddings for Numerical Features in Tabular Deep Learning",
https://arxiv.org/abs/2203.05556. Differs: a blank cell is a vector of zeros, and GELU stands for ReLU.
"""

from __future__ import annotations

from typing import Annotated

from torch import nn

from mmtrain.column_vectors import ColumnVectors
from mmtrain.contracts import Range, Signal, SignalSpec, Tokens
from mmtrain.layers import MLP


class TabularMLP(nn.Module):
    """Reads a row of a table as a whole.

    Args:
        spec: A tabular modality.
        hidden_size: D of the token, and of the hidden layer.
        embedding_size: Width of the vector of one column.
        dropout: After the hidden layer.

    Raises:
        ValueError: The modality has no columns.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        hidden_size: Annotated[int, Range(1)] = 128,
        embedding_size: Annotated[int, Range(1)] = 16,
        dropout: Annotated[float, Range(0, 1)] = 0.1,
    ) -> None:
        super().__init__()
        self.columns = ColumnVectors(spec, embedding_size)
        self.mlp = MLP(len(spec.columns) * embedding_size, hidden_size, hidden_size, dropout=dropout)
        self.width = hidden_size

    def forward(self, signal: Signal) -> Tokens:
        """Rows [B,T] -> [B,1,hidden_size]."""
        values = self.mlp(self.columns(signal).flatten(1)).unsqueeze(1)
        return Tokens(values, signal.mask.any(dim=1, keepdim=True))

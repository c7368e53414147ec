"""FT-Transformer: attention between the columns of a table, one token a column.

After Gorishniy et al. 2021, "Revisiting Deep Learning Models for Tabular Data", https://arxiv.org/abs/2106.11959, with
its default sizes: a vector a column, then blocks x + attention(n(x)), x + W_2 dropout(ReGLU(W_1 n(x))) with
ReGLU(a, b) = a * max(b, 0), without n in the first attention. Differs: there is no [CLS] token, since the fusion pools
the columns itself, and a blank cell is masked out of the attention.
"""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from mmtrain.column_vectors import ColumnVectors
from mmtrain.contracts import Range, Signal, SignalSpec, Tokens


class FTTransformer(nn.Module):
    """Reads a row of a table column by column, each having read all others.

    Args:
        spec: A tabular modality.
        hidden_size: D of the tokens; a multiple of `num_heads`.
        num_layers: Blocks.
        num_heads: Attention heads.
        feedforward_size: Hidden units of the feed-forward part; None: 4/3 of `hidden_size`.
        attention_dropout: On the attention weights.
        dropout: In the feed-forward part.

    Raises:
        ValueError: The modality has no columns, or `num_heads` does not divide `hidden_size`.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        hidden_size: Annotated[int, Range(1)] = 192,
        num_layers: Annotated[int, Range(1)] = 3,
        num_heads: Annotated[int, Range(1)] = 8,
        feedforward_size: Annotated[int, Range(1)] | None = None,
        attention_dropout: Annotated[float, Range(0, 1)] = 0.2,
        dropout: Annotated[float, Range(0, 1)] = 0.1,
    ) -> None:
        super().__init__()
        if hidden_size % num_heads:
            nearest = max(num_heads, round(hidden_size / num_heads) * num_heads)
            raise ValueError(f"`num_heads` (={num_heads}) must divide `hidden_size` (={hidden_size}); try {nearest}.")
        self.width = hidden_size
        self.columns = ColumnVectors(spec, hidden_size)
        inner = feedforward_size or max(1, hidden_size * 4 // 3)
        self.blocks = nn.ModuleList(
            _Block(hidden_size, num_heads, inner, attention_dropout, dropout, first=number == 0)
            for number in range(num_layers)
        )
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, signal: Signal) -> Tokens:
        """Rows [B,T] -> [B,T,hidden_size]."""
        values = self.columns(signal)  # [B,T,D]
        # An absent row attends to all its zeros: over no key at all, some attention kernels give nan.
        blank = ~signal.mask & signal.mask.any(dim=1, keepdim=True)
        for block in self.blocks:
            values = block(values, blank)
        return Tokens(self.norm(values), signal.mask)


class _Block(nn.Module):
    def __init__(
        self, width: int, num_heads: int, inner: int, attention_dropout: float, dropout: float, *, first: bool
    ) -> None:
        super().__init__()
        self.norm_attention = nn.Identity() if first else nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, num_heads, attention_dropout, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, 2 * inner)
        self.dropout = nn.Dropout(dropout)
        self.outer = nn.Linear(inner, width)

    def forward(self, values: Tensor, blank: Tensor) -> Tensor:
        """Columns [B,T,D] and where they are blank [B,T] -> [B,T,D]."""
        read = self.norm_attention(values)
        values = values + self.attention(read, read, read, key_padding_mask=blank, need_weights=False)[0]
        plain, gate = self.inner(self.norm(values)).chunk(2, dim=-1)  # [B,T,inner] each
        result: Tensor = values + self.outer(self.dropout(plain * gate.relu()))
        return result

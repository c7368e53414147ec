"""What reads a sequence of tokens in order: the part over time of encoders for video and for stored features.

Each is built as factory(width) of the tokens it gets, and has the `width` of those it gives. Real tokens come first;
what follows them is never read.
"""

from __future__ import annotations

from typing import Annotated, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mmtrain.contracts import Range, Tokens
from mmtrain.layers import at_least_one, lengths, masked_mean, sinusoids


class OverTime(Protocol):
    """Tokens [B,T,D] -> tokens of width `width`."""

    width: int

    def __call__(self, tokens: Tokens) -> Tokens: ...


class TimeMean(nn.Module):
    """The mean of the tokens, as one; blind to their order.

    Args:
        width: D of the tokens.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, tokens: Tokens) -> Tokens:
        """Tokens [B,T,D] -> [B,1,D]."""
        return Tokens(masked_mean(tokens.values, tokens.mask).unsqueeze(1), tokens.mask.any(dim=1, keepdim=True))


class TimeGRU(nn.Module):
    """Gated recurrent units: each token has read those before it, and with `bidirectional` those after it.

    After Cho et al. 2014, https://arxiv.org/abs/1406.1078.

    Args:
        width: D of the tokens.
        hidden_size: Width of each direction's state.
        num_layers: Stacked GRUs.
        bidirectional: Read backwards too; doubles the width of what it gives.
        dropout: Between layers, so it needs two of them.

    Raises:
        ValueError: `dropout` without a second layer.
    """

    def __init__(
        self,
        width: int,
        *,
        hidden_size: Annotated[int, Range(1)] = 128,
        num_layers: Annotated[int, Range(1)] = 1,
        bidirectional: bool = True,
        dropout: Annotated[float, Range(0, 1)] = 0.0,
    ) -> None:
        super().__init__()
        if dropout and num_layers == 1:
            raise ValueError(f"`dropout` (={dropout}) acts between layers; set `num_layers` to 2 or `dropout` to 0.")
        self.gru = nn.GRU(width, hidden_size, num_layers, True, True, dropout, bidirectional)
        self.width = hidden_size * (2 if bidirectional else 1)

    def forward(self, tokens: Tokens) -> Tokens:
        """Tokens [B,T,D] -> [B,T,width]."""
        values = tokens.values
        packed = pack_padded_sequence(values, lengths(tokens.mask).cpu(), batch_first=True, enforce_sorted=False)
        values, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=values.shape[1])
        return Tokens(values, tokens.mask, tokens.positions)


class TimeTransformer(nn.Module):
    """Attention between all tokens, which are brought to `hidden_size` and get sinusoidal positions first.

    After Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, normalised before each block as in
    https://arxiv.org/abs/2002.04745.

    Args:
        width: D of the tokens.
        hidden_size: Width of what it gives; an even multiple of `num_heads`.
        num_layers: Blocks of attention and feed-forward.
        num_heads: Attention heads.
        dropout: In every block and on the tokens.

    Raises:
        ValueError: `num_heads` times 2 does not divide `hidden_size`.
    """

    def __init__(
        self,
        width: int,
        *,
        hidden_size: Annotated[int, Range(2)] = 128,
        num_layers: Annotated[int, Range(1)] = 2,
        num_heads: Annotated[int, Range(1)] = 4,
        dropout: Annotated[float, Range(0, 1)] = 0.1,
    ) -> None:
        super().__init__()
        step = 2 * num_heads
        if hidden_size % step:
            nearest = max(step, round(hidden_size / step) * step)
            raise ValueError(
                f"2 times `num_heads` (={num_heads}) must divide `hidden_size` (={hidden_size}); try {nearest}."
            )
        self.width = hidden_size
        self.projection = nn.Linear(width, hidden_size)
        self.dropout = nn.Dropout(dropout)
        layer = nn.TransformerEncoderLayer(
            hidden_size, num_heads, 4 * hidden_size, dropout, "gelu", batch_first=True, norm_first=True
        )
        norm = nn.LayerNorm(hidden_size)
        self.layers = nn.TransformerEncoder(layer, num_layers, norm=norm, enable_nested_tensor=False)

    def forward(self, tokens: Tokens) -> Tokens:
        """Tokens [B,T,D] -> [B,T,hidden_size]."""
        values: Tensor = self.projection(torch.where(tokens.mask.unsqueeze(-1), tokens.values, 0))
        values = self.dropout(values + sinusoids(values.shape[1], self.width, like=values))
        # A row without a token attends to its first one: over no key at all, some attention kernels give nan.
        values = self.layers(values, src_key_padding_mask=~at_least_one(tokens.mask))
        return Tokens(values, tokens.mask, tokens.positions)

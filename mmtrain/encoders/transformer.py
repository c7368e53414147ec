"""Transformer over words: one token a word, each having read the whole text.

After Vaswani et al. 2017, "Attention Is All You Need", https://arxiv.org/abs/1706.03762: sinusoidal positions
PE(t, 2i) = sin(t / 10000^(2i/D)), PE(t, 2i+1) = cos of the same. Differs: normalises before each block (Xiong et al.
2020, https://arxiv.org/abs/2002.04745), which trains without warm-up, and uses GELU.
"""

from __future__ import annotations

import math
from typing import Annotated

from torch import nn

from mmtrain.contracts import Range, Signal, SignalSpec, Tokens
from mmtrain.layers import at_least_one, sinusoids, vocabulary_size, zeroed


class TextTransformer(nn.Module):
    """Reads a text all at once.

    Args:
        spec: A text modality.
        hidden_size: D of the tokens; an even multiple of `num_heads`.
        num_layers: Blocks of attention and feed-forward.
        num_heads: Attention heads.
        feedforward_size: Hidden units of the feed-forward part; None: four times `hidden_size`.
        dropout: In every block and on the embedded words.

    Raises:
        ValueError: The modality has no vocabulary, or `num_heads` or 2 does not divide `hidden_size`.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        hidden_size: Annotated[int, Range(2)] = 128,
        num_layers: Annotated[int, Range(1)] = 2,
        num_heads: Annotated[int, Range(1)] = 4,
        feedforward_size: Annotated[int, Range(1)] | None = None,
        dropout: Annotated[float, Range(0, 1)] = 0.1,
    ) -> None:
        super().__init__()
        step = math.lcm(num_heads, 2)
        if hidden_size % step:
            nearest = max(step, round(hidden_size / step) * step)
            raise ValueError(
                f"`num_heads` (={num_heads}) and 2 must divide `hidden_size` (={hidden_size}); try {nearest}."
            )
        self.width = hidden_size
        self.embedding = nn.Embedding(vocabulary_size(spec), hidden_size)
        self.dropout = nn.Dropout(dropout)
        layer = nn.TransformerEncoderLayer(
            hidden_size,
            num_heads,
            feedforward_size or 4 * hidden_size,
            dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(
            layer, num_layers, norm=nn.LayerNorm(hidden_size), enable_nested_tensor=False
        )

    def forward(self, signal: Signal) -> Tokens:
        """Word ids [B,T] -> [B,T,hidden_size]."""
        embedded = self.embedding(zeroed(signal))  # [B,T,D]
        embedded = self.dropout(embedded + sinusoids(embedded.shape[1], self.width, like=embedded))
        # An absent text attends to its first padding word: over no key at all, some attention kernels give nan.
        values = self.layers(embedded, src_key_padding_mask=~at_least_one(signal.mask))
        return Tokens(values, signal.mask)

"""MulT: a cross-modal transformer for every ordered pair of modalities.

Tsai et al. 2019, https://arxiv.org/abs/1906.00295: for each pair, Y_{b->a} starts as X_a and passes K blocks whose keys
and values are the first tokens X_b; the Y_{b->a} of all b side by side pass max(K, 3) blocks of self-attention; the
vectors y_a of all a side by side pass a residual MLP, y + W_2 relu(W_1 y), and a linear map. Differs: y_a is the mean
of the real tokens where the paper takes the last one, which right padding breaks; padding is hidden, tokens to come
are not; a learned token that is always real lets an absent b be read; position codes say where a token stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, cast

import torch
from torch import Tensor, nn

from mmtrain.blocks import AttentionBlock, TokenInput, require_heads, with_token
from mmtrain.contracts import Fused, Range, Tokens
from mmtrain.layers import join, masked_mean, pool, presence


class MulTFusion(nn.Module):
    """Models each pair by itself. Cost: M(M - 1) stacks of blocks, and M of width (M - 1)d: it explodes after M = 3.

    The y of an absent modality is 0. With M = 1 there are no pairs, and self-attention over its own tokens remains.

    Parameters, d = `hidden_size`, K = `num_layers`, w = max(M - 1, 1)d, p(d) = 12d² + 13d: 3MD + MDd for the input, d
    for the token where M > 1, M(M - 1)(K p(d) + 2d) for the pairs, M(max(K, 3)p(w) + 2w) for the self-attention,
    2((Mw)² + Mw) for the residual MLP, (Mw + 1)D for the last map.

    Args:
        modalities: Names, in the order of the config.
        width: D of the tokens.
        hidden_size: d, the width inside; the paper has 30.
        num_layers: Blocks a pair; the paper has 5.
        num_heads: Attention heads; must divide `hidden_size`.
        dropout: In every block, and on the hidden units of the MLP.

    Raises:
        ValueError: `num_heads` does not divide `hidden_size`.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        width: int,
        *,
        hidden_size: Annotated[int, Range(1)] = 32,
        num_layers: Annotated[int, Range(1)] = 4,
        num_heads: Annotated[int, Range(1)] = 4,
        dropout: Annotated[float, Range(0, 1)] = 0.1,
    ) -> None:
        super().__init__()
        require_heads(hidden_size, num_heads, name="hidden_size")
        self.modalities = tuple(modalities)
        self.input = TokenInput(self.modalities, width)
        self.maps = nn.ModuleList(nn.Linear(width, hidden_size, bias=False) for _ in self.modalities)
        pairs = [(a, b) for a in self.modalities for b in self.modalities if a != b]
        self.token = nn.Parameter(torch.randn(1, hidden_size) * 0.02) if pairs else None

        def stack(size: int, layers: int) -> nn.ModuleList:
            return nn.ModuleList(
                [*(AttentionBlock(size, num_heads, dropout=dropout) for _ in range(layers)), nn.LayerNorm(size)]
            )

        self.pairs = nn.ModuleDict({f"{b}->{a}": stack(hidden_size, num_layers) for a, b in pairs})
        inner = max(len(self.modalities) - 1, 1) * hidden_size
        self.memories = nn.ModuleList(stack(inner, max(num_layers, 3)) for _ in self.modalities)
        total = len(self.modalities) * inner
        self.mlp = nn.Sequential(nn.Linear(total, total), nn.ReLU(), nn.Dropout(dropout), nn.Linear(total, total))
        self.out = nn.Linear(total, width)

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Tokens [B,L,D] of each modality -> pooled [B,D]."""
        first = {
            name: map_(values)  # [B,L,d]
            for name, map_, values in zip(self.modalities, self.maps, self.input(tokens), strict=True)
        }
        read = []
        for name, stack in zip(self.modalities, self.memories, strict=True):
            *blocks, norm = cast(nn.ModuleList, stack)
            mask = tokens[name].mask
            values = self._read_others(name, first, tokens)  # [B,L,w]
            some = mask | ~mask.any(dim=1, keepdim=True)  # an absent modality attends to zeros, and counts for nothing
            for block in blocks:
                values = block(values, some)
            read.append(masked_mean(norm(values), mask))
        joined = torch.cat(read, dim=1)  # [B,Mw]
        pooled: Tensor = self.out(joined + self.mlp(joined))
        vectors, present = pool(tokens, self.modalities), presence(tokens, self.modalities)
        return Fused(pooled, *join(tokens, self.modalities), vectors, present)

    def _read_others(self, name: str, first: Mapping[str, Tensor], tokens: Mapping[str, Tokens]) -> Tensor:
        """The Y_{b->a} of all b side by side; X_a itself where there is no b."""
        streams = []
        for other in self.modalities:
            if other == name:
                continue
            assert self.token is not None  # where there are pairs
            context, mask = with_token(first[other], tokens[other].mask, self.token)
            *blocks, norm = cast(nn.ModuleList, self.pairs[f"{other}->{name}"])
            values = first[name]
            for block in blocks:
                values = block(values, mask, context)
            streams.append(norm(values))
        return torch.cat(streams or [first[name]], dim=-1)

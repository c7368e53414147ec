"""Perceiver: a few latent vectors read the tokens of all modalities and answer one query.

Perceiver IO, Jaegle et al. 2021, https://arxiv.org/abs/2107.14795: Z = Block(Z_0, X), X all tokens; K blocks of
self-attention over Z; z = n(Block(q, Z)), q a learned query. Differs: one norm for both sides of a block (X has been
normalised before); X has a learned token that is always real.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor, nn

from mmtrain.blocks import AttentionBlock, TokenInput, require_heads, with_token
from mmtrain.contracts import Fused, Range, Tokens
from mmtrain.layers import join, pool, presence


class PerceiverFusion(nn.Module):
    """Reads any number of tokens at a cost linear in it; but for 3MD, the parameters do not depend on M.

    No latent reads padding or an absent modality. The sequence holds the tokens as they came.

    Parameters, K = `num_layers`, N = `num_latents`: 3MD for the input, (N + 2)D for latents, query and token,
    (K + 2)(12D² + 13D) for the blocks, 2D for the norm.

    Args:
        modalities: Names, in the order of the config.
        width: D of the tokens.
        num_latents: Latent vectors; few of them underfit.
        num_layers: Blocks of self-attention over the latents.
        num_heads: Attention heads; must divide `width`.
        dropout: In every block.

    Raises:
        ValueError: `num_heads` does not divide `width`.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        width: int,
        *,
        num_latents: Annotated[int, Range(1)] = 16,
        num_layers: Annotated[int, Range(0)] = 1,
        num_heads: Annotated[int, Range(1)] = 4,
        dropout: Annotated[float, Range(0, 1)] = 0.0,
    ) -> None:
        super().__init__()
        require_heads(width, num_heads)
        self.modalities = tuple(modalities)
        self.input = TokenInput(self.modalities, width)
        self.token = nn.Parameter(torch.randn(1, width) * 0.02)
        self.latents = nn.Parameter(torch.randn(num_latents, width) * 0.02)
        self.query = nn.Parameter(torch.randn(1, width) * 0.02)
        self.read, *blocks, self.answer = (
            AttentionBlock(width, num_heads, dropout=dropout) for _ in range(num_layers + 2)
        )
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Tokens [B,L,D] of each modality -> pooled [B,D]."""
        sequence, spans = join(tokens, self.modalities)
        keys, mask = with_token(torch.cat(self.input(tokens), dim=1), sequence.mask, self.token)  # [B,1+L,D]
        latents = self.read(self.latents.to(keys.dtype).expand(len(keys), -1, -1), mask, keys)  # [B,N,D]
        real = mask.new_ones(latents.shape[:2])
        for block in self.blocks:
            latents = block(latents, real)
        answer = self.answer(self.query.to(keys.dtype).expand(len(keys), -1, -1), real, latents)  # [B,1,D]
        pooled: Tensor = self.norm(answer).squeeze(1)
        return Fused(pooled, sequence, spans, pool(tokens, self.modalities), presence(tokens, self.modalities))

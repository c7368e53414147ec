"""Cross-attention: the tokens of each modality read those of the others.

The co-attention of ViLBERT, Lu et al. 2019, https://arxiv.org/abs/1908.02265: in each layer X_a = X_a + MHA(X_a, C_a,
C_a), then a feed-forward part, for all modalities at once; with two, C_a is the other one. Ours for M: C_a = all tokens
of the others, one block a modality and layer, not one a pair. z = mean over the present modalities of the mean of their
tokens. Differs: the blocks of self-attention between the layers are left out, which the encoders can hold; C_a has a
learned token that is always real.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, cast

import torch
from torch import nn

from mmtrain.blocks import AttentionBlock, TokenInput, require_heads, with_token
from mmtrain.contracts import Fused, Range, Tokens
from mmtrain.layers import join, masked_mean, pool, presence


class CrossAttentionFusion(nn.Module):
    """Keeps a stream a modality, which reads the others. Parameters linear in M, scores quadratic in all tokens.

    A modality without others reads the learned token alone; with M = 1 there is nothing to read and there are no
    blocks.

    Parameters, K = `num_layers`: 3MD for the input, 2D for the last norm, and where M > 1 KM(12D² + 13D) for the blocks
    and D for the token.

    Args:
        modalities: Names, in the order of the config.
        width: D of the tokens.
        num_layers: Blocks a modality.
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
        num_layers: Annotated[int, Range(1)] = 1,
        num_heads: Annotated[int, Range(1)] = 4,
        dropout: Annotated[float, Range(0, 1)] = 0.0,
    ) -> None:
        super().__init__()
        require_heads(width, num_heads)
        self.modalities = tuple(modalities)
        self.input = TokenInput(self.modalities, width)
        several = len(self.modalities) > 1
        self.token = nn.Parameter(torch.randn(1, width) * 0.02) if several else None
        self.layers = nn.ModuleList(
            nn.ModuleList(AttentionBlock(width, num_heads, dropout=dropout) for _ in self.modalities)
            for _ in range(num_layers if several else 0)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Tokens [B,L,D] of each modality -> pooled [B,D]; the sequence holds the updated tokens."""
        streams, masks = self.input(tokens), [tokens[name].mask for name in self.modalities]
        for layer in self.layers:
            assert self.token is not None  # where there are layers
            read = []
            for index, block in enumerate(cast(nn.ModuleList, layer)):
                others = torch.cat([*streams[:index], *streams[index + 1 :]], dim=1)  # [B,K,D]
                mask = torch.cat([*masks[:index], *masks[index + 1 :]], dim=1)
                others, mask = with_token(others, mask, self.token)
                read.append(block(streams[index], mask, others))
            streams = read
        updated = {
            name: tokens[name]._replace(values=self.norm(stream))
            for name, stream in zip(self.modalities, streams, strict=True)
        }
        vectors, present = pool(tokens, self.modalities), presence(tokens, self.modalities)
        means = torch.stack(list(pool(updated, self.modalities).values()), dim=1)  # [B,M,D]
        return Fused(masked_mean(means, present), *join(updated, self.modalities), vectors, present)

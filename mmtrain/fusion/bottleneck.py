"""Bottleneck fusion: modalities exchange information only through a few shared tokens.

Nagrani et al. 2021, "Attention Bottlenecks for Multimodal Fusion", https://arxiv.org/abs/2107.00135: below layer L_f
each modality has a transformer of its own; from there on [X_m; F_m] = Block_m([X_m; F]) and F = mean of the F_m over
the present m. z = mean over the present m of n(CLS_m). Differs: the paper averages the logits of the CLS tokens, we
average the tokens before one head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, cast

import torch
from torch import Tensor, nn

from mmtrain.blocks import AttentionBlock, TokenInput, require_heads, with_token
from mmtrain.contracts import Fused, Range, Tokens
from mmtrain.layers import join, masked_mean, pool, presence


class BottleneckFusion(nn.Module):
    """Fuses in time linear in M: each modality attends to itself and to the bottleneck.

    An absent modality has its CLS token, so that softmax never sees an empty row, and no part in F or z.

    Parameters, K = `num_layers`, n = `num_bottlenecks`: 4MD for the input and the CLS tokens, KM(12D² + 13D) for the
    blocks, 2D for the norm, nD for F where `fusion_layer` < K.

    Args:
        modalities: Names, in the order of the config.
        width: D of the tokens.
        num_layers: Blocks a modality; the paper has 12.
        fusion_layer: Blocks before the exchange begins: 0 is early, `num_layers` is late fusion; the paper has 8 of 12.
            F is written in one block and read in the next: two are needed for anything to be exchanged.
        num_bottlenecks: Shared tokens; the paper has 4.
        num_heads: Attention heads; must divide `width`.
        dropout: In every block.

    Raises:
        ValueError: `num_heads` does not divide `width`, or `fusion_layer` is above `num_layers`.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        width: int,
        *,
        num_layers: Annotated[int, Range(1)] = 2,
        fusion_layer: Annotated[int, Range(0)] = 0,
        num_bottlenecks: Annotated[int, Range(1)] = 4,
        num_heads: Annotated[int, Range(1)] = 4,
        dropout: Annotated[float, Range(0, 1)] = 0.0,
    ) -> None:
        super().__init__()
        require_heads(width, num_heads)
        if fusion_layer > num_layers:
            raise ValueError(f"`fusion_layer` (={fusion_layer}) must be at most `num_layers` (={num_layers}).")
        self.modalities = tuple(modalities)
        self.fusion_layer = fusion_layer
        self.input = TokenInput(self.modalities, width)
        self.cls = nn.Parameter(torch.randn(len(self.modalities), 1, width) * 0.02)
        exchange = fusion_layer < num_layers
        self.bottleneck = nn.Parameter(torch.randn(num_bottlenecks, width) * 0.02) if exchange else None
        self.layers = nn.ModuleList(
            nn.ModuleList(AttentionBlock(width, num_heads, dropout=dropout) for _ in self.modalities)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Tokens [B,L,D] of each modality -> pooled [B,D]; the sequence holds the updated tokens, without F and CLS."""
        vectors, present = pool(tokens, self.modalities), presence(tokens, self.modalities)
        streams, masks = [], []
        for name, values, cls in zip(self.modalities, self.input(tokens), self.cls, strict=True):
            stream, mask = with_token(values, tokens[name].mask, cls)  # [B,1+L,D]
            streams.append(stream)
            masks.append(mask)
        shared = None if self.bottleneck is None else self.bottleneck.expand(len(present), -1, -1)  # [B,n,D]
        for number, layer in enumerate(self.layers):
            blocks = zip(cast(nn.ModuleList, layer), streams, masks, strict=True)
            if shared is None or number < self.fusion_layer:
                streams = [block(values, mask) for block, values, mask in blocks]
                continue
            made = [block(*_joined(shared, values, mask)) for block, values, mask in blocks]
            count = shared.shape[1]
            streams = [both[:, count:] for both in made]
            views = torch.stack([both[:, :count].flatten(1) for both in made], dim=1)  # [B,M,nD]
            shared = masked_mean(views, present).view_as(shared)
        streams = [self.norm(values) for values in streams]
        updated = {n: tokens[n]._replace(values=x[:, 1:]) for n, x in zip(self.modalities, streams, strict=True)}
        pooled = masked_mean(torch.stack([values[:, 0] for values in streams], dim=1), present)  # [B,D]
        return Fused(pooled, *join(updated, self.modalities), vectors, present)


def _joined(shared: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """F [B,n,D] and a stream [B,L,D] as one sequence, with its mask."""
    return torch.cat([shared.to(values.dtype), values], dim=1), nn.functional.pad(
        mask, (shared.shape[1], 0), value=True
    )

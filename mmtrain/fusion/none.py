"""No fusion: the mean of the modalities' vectors, for a single modality or for retrieval, which compares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from mmtrain.contracts import Fused, Tokens
from mmtrain.layers import join, masked_mean, pool, presence


class NoFusion(nn.Module):
    """pooled = mean of h_m over the present modalities; h_m, the mean of the tokens of modality m, for one alone.

    It has no parameters: what the modalities have to say to one another is lost.

    Args:
        modalities: Names, in the order of the config.
        width: D of the tokens.
    """

    def __init__(self, modalities: Sequence[str], width: int) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.width = width

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Tokens [B,L,D] of each modality -> pooled [B,D]."""
        vectors, present = pool(tokens, self.modalities), presence(tokens, self.modalities)
        pooled = masked_mean(torch.stack(list(vectors.values()), dim=1), present)  # [B,D]
        return Fused(pooled, *join(tokens, self.modalities), vectors, present)

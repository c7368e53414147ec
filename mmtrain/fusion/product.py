"""Product: the modalities' vectors multiplied feature by feature.

z = ∏_m tanh(P_m x_m), x_m = n(h_m); with two modalities the low-rank bilinear pooling of Kim et al. 2017,
https://arxiv.org/abs/1610.04325 (its last linear map is the head's). Differs: the vectors are normalised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmtrain.contracts import Fused, Tokens
from mmtrain.layers import join, pool, presence


class ProductFusion(nn.Module):
    """Multiplies: a feature is large where all modalities have it. Cost: linear in M.

    An absent modality is a factor of 1; a sample that lacks all gives ones. Factors are below 1, so z shrinks with M;
    the heads of mmtrain normalise it.

    Parameters: M(D² + 3D) for norms and maps.

    Args:
        modalities: Names, in the order of the config.
        width: D of the tokens.
    """

    def __init__(self, modalities: Sequence[str], width: int) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.maps = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width)) for _ in self.modalities)

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Tokens [B,L,D] of each modality -> pooled [B,D]."""
        vectors, present = pool(tokens, self.modalities), presence(tokens, self.modalities)
        mapped = [map_(vectors[name]) for map_, name in zip(self.maps, self.modalities, strict=True)]
        factors = torch.where(present.unsqueeze(-1), torch.stack(mapped, dim=1).tanh(), 1)  # [B,M,D]
        pooled: Tensor = factors.prod(dim=1)
        return Fused(pooled, *join(tokens, self.modalities), vectors, present)

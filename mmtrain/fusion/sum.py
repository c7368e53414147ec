"""Sum: each modality mapped linearly into a common space and averaged there.

z = MLP(sum_m a_m P_m n(h_m) / max(1, sum_m a_m)), n = LayerNorm, a = presence bits. The mean over the present
modalities keeps the scale when one is absent. The hidden layer matters: without it a sum is one linear map a modality,
and models no interaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor, nn

from mmtrain.contracts import Fused, Range, Tokens
from mmtrain.layers import MLP, join, masked_mean, pool, presence


class SumFusion(nn.Module):
    """Adds the modalities.

    Parameters, H = `hidden_size`: M(D² + 3D) for norms and maps, (D + 1)H + (H + 1)D for the MLP.

    Args:
        modalities: Names, in the order of the config.
        width: D of the tokens.
        hidden_size: Hidden units of the MLP; None: `width`.
        dropout: On the hidden units.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        width: int,
        *,
        hidden_size: Annotated[int, Range(1)] | None = None,
        dropout: Annotated[float, Range(0, 1)] = 0.0,
    ) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.maps = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width)) for _ in self.modalities)
        self.mlp = MLP(width, hidden_size or width, width, dropout=dropout)

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Tokens [B,L,D] of each modality -> pooled [B,D]."""
        vectors, present = pool(tokens, self.modalities), presence(tokens, self.modalities)
        mapped = [map_(vectors[name]) for map_, name in zip(self.maps, self.modalities, strict=True)]
        pooled: Tensor = self.mlp(masked_mean(torch.stack(mapped, dim=1), present))  # [B,M,D] -> [B,D]
        return Fused(pooled, *join(tokens, self.modalities), vectors, present)

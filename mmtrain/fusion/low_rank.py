"""Low-rank tensor fusion: the products of tensor fusion without ever writing them down.

Liu et al. 2018, https://arxiv.org/abs/1806.00064: z = b + sum_{i<=r} w_i ∏_m W_m^(i) [1; x_m], which equals a linear
map of [1; x_1] ⊗ ... ⊗ [1; x_M] whose tensor has rank r; x_m = n(h_m). Differs: the vectors are normalised, and the
weights start where a product of M factors neither vanishes nor explodes: those of the constant at 1, the others at
random with deviation 1/√D. Every factor is a parameter: it is trained and saved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor, nn

from mmtrain.contracts import Fused, Range, Tokens
from mmtrain.layers import join, pool, presence


class LowRankFusion(nn.Module):
    """Multiplies projections of all modalities, `rank` times. Cost: linear in M.

    An absent modality is x_m = 0, as in tensor fusion: its factor is the weight of the constant.

    Parameters, r = `rank`: 2MD for the norms, Mr(D + 1)D for the factors, r for w, D for b.

    Args:
        modalities: Names, in the order of the config.
        width: D of the tokens.
        rank: Products that are added up.
    """

    def __init__(self, modalities: Sequence[str], width: int, *, rank: Annotated[int, Range(1)] = 4) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in self.modalities)
        factors = torch.randn(len(self.modalities), rank, width + 1, width) * width**-0.5
        factors[:, :, 0] = 1.0
        self.factors = nn.Parameter(factors)  # [M,r,D+1,D]
        self.weight = nn.Parameter(torch.full((rank,), rank**-0.5))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Tokens [B,L,D] of each modality -> pooled [B,D]."""
        vectors, present = pool(tokens, self.modalities), presence(tokens, self.modalities)
        normed = [norm(vectors[name]) for norm, name in zip(self.norms, self.modalities, strict=True)]
        stacked = torch.where(present.unsqueeze(-1), torch.stack(normed, dim=1), 0)  # [B,M,D]
        stacked = torch.cat([torch.ones_like(stacked[:, :, :1]), stacked], dim=2)  # [B,M,D+1]
        factors = torch.einsum("bmi,mrio->bmro", stacked, self.factors)
        pooled: Tensor = torch.einsum("bro,r->bo", factors.prod(dim=1), self.weight) + self.bias
        return Fused(pooled, *join(tokens, self.modalities), vectors, present)

"""Concatenation: the modalities' vectors side by side through a small network; the baseline to beat.

z = MLP([n(h_1); ...; n(h_M); a]), n = LayerNorm, a = presence bits; "late fusion" in MultiBench (Liang et al. 2021,
https://arxiv.org/abs/2107.07502). Differs: a learned vector stands for an absent modality. The hidden layer matters:
concatenation and a linear head alone are a sum of one linear head a modality, and model no interaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor, nn

from mmtrain.contracts import Fused, Range, Tokens
from mmtrain.layers import MLP, join, pool, presence


class ConcatFusion(nn.Module):
    """Reads all the modalities at once.

    Parameters, H = `hidden_size`: 3MD for the norms and null vectors, (MD + M + 1)H + (H + 1)D for the MLP.

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
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in self.modalities)
        self.absent = nn.Parameter(torch.randn(len(self.modalities), width) * 0.02)
        self.mlp = MLP(len(self.modalities) * (width + 1), hidden_size or width, width, dropout=dropout)

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Tokens [B,L,D] of each modality -> pooled [B,D]."""
        vectors, present = pool(tokens, self.modalities), presence(tokens, self.modalities)
        normed = [norm(vectors[name]) for norm, name in zip(self.norms, self.modalities, strict=True)]
        stacked = torch.stack(normed, dim=1)  # [B,M,D]
        stacked = torch.where(present.unsqueeze(-1), stacked, self.absent.to(stacked.dtype))
        pooled: Tensor = self.mlp(torch.cat([stacked.flatten(1), present.to(stacked.dtype)], dim=1))  # [B,D]
        return Fused(pooled, *join(tokens, self.modalities), vectors, present)

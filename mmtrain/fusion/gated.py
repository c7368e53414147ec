"""Gated fusion: one modality decides which features of the others pass.

Kiela et al. 2018, https://arxiv.org/abs/1802.02892: z = σ(U x_a) * (V x_b), a the gater. Ours for M modalities:
z = σ(U x_a) * mean over the present m other than a of V_m x_m, x_m = n(h_m). Differs: the vectors are normalised, and
what is absent has a meaning: without a the gate is open (1); without any other, z = V_a x_a.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmtrain.contracts import Fused, Tokens
from mmtrain.layers import join, masked_mean, pool, presence
from mmtrain.suggest import did_you_mean


class GatedFusion(nn.Module):
    """Lets one modality gate the mean of the others; not symmetric. Cost: linear in M.

    Parameters: 2MD for the norms, M(D² + D) for the maps, D² + D for the gate where M > 1.

    Args:
        modalities: Names, in the order of the config.
        width: D of the tokens.
        gater: The modality that gates the others; None: the first.

    Raises:
        ValueError: `gater` is not among the modalities.
    """

    def __init__(self, modalities: Sequence[str], width: int, *, gater: str | None = None) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.gater = self.modalities[0] if gater is None else gater
        if self.gater not in self.modalities:
            known = did_you_mean(self.gater, self.modalities) or f" There is {', '.join(self.modalities)}."
            raise ValueError(f"`fusion.gater`: no modality '{gater}'.{known}")
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in self.modalities)
        self.maps = nn.ModuleList(nn.Linear(width, width) for _ in self.modalities)
        self.gate = nn.Linear(width, width) if len(self.modalities) > 1 else None

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Tokens [B,L,D] of each modality -> pooled [B,D]."""
        vectors, present = pool(tokens, self.modalities), presence(tokens, self.modalities)
        normed = [norm(vectors[name]) for norm, name in zip(self.norms, self.modalities, strict=True)]
        mapped = torch.stack([map_(x) for map_, x in zip(self.maps, normed, strict=True)], dim=1)  # [B,M,D]
        index = self.modalities.index(self.gater)
        others = torch.arange(len(self.modalities), device=present.device) != index  # [M]
        accompanied = (present & others).any(dim=1, keepdim=True)  # [B,1]
        pooled = masked_mean(mapped, torch.where(accompanied, present & others, present))  # [B,D]
        if self.gate is not None:
            gate: Tensor = self.gate(normed[index]).sigmoid()
            pooled = torch.where(accompanied & present[:, index : index + 1], gate * pooled, pooled)
        return Fused(pooled, *join(tokens, self.modalities), vectors, present)

"""Gated multimodal unit: for every feature, the modalities vote on whose value counts.

Arevalo et al. 2017, https://arxiv.org/abs/1702.01992, for two modalities: h_m = tanh(W_m x_m), g = σ(W_g [x_1; x_2]),
z = g * h_1 + (1 - g) * h_2, without biases. For M modalities ours is g = softmax over the present ones of (l_1, ...,
l_{M-1}, 0), l = W_g [x_1; ...; x_M], which for M = 2 is the formula above; the paper has M independent sigmoids there,
whose sum grows with M. Differs: x_m = n(h_m) is normalised, and 0 where the sample lacks m.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmtrain.contracts import Fused, Tokens
from mmtrain.layers import join, pool, presence


class GMUFusion(nn.Module):
    """Weighs the modalities feature by feature; the gate of each reads all of them.

    An absent modality has no share and the others divide it; a sample that lacks all gives zeros. Cost: quadratic in M.

    Parameters: 2MD for the norms, MD² for the maps, M(M - 1)D² for the gates.

    Args:
        modalities: Names, in the order of the config.
        width: D of the tokens.
    """

    def __init__(self, modalities: Sequence[str], width: int) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        count = len(self.modalities)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in self.modalities)
        self.maps = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in self.modalities)
        self.gates = nn.ModuleList(nn.Linear(count * width, width, bias=False) for _ in self.modalities[1:])

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Tokens [B,L,D] of each modality -> pooled [B,D], weights [B,M]: the mean gate of each."""
        vectors, present = pool(tokens, self.modalities), presence(tokens, self.modalities)
        normed = [norm(vectors[name]) for norm, name in zip(self.norms, self.modalities, strict=True)]
        stacked = torch.where(present.unsqueeze(-1), torch.stack(normed, dim=1), 0)  # [B,M,D]
        hidden = [map_(stacked[:, index]).tanh() for index, map_ in enumerate(self.maps)]
        scores = [gate(stacked.flatten(1)) for gate in self.gates]
        score = torch.stack([*scores, torch.zeros_like(hidden[0])], dim=1).float()  # [B,M,D]
        real = present.unsqueeze(-1)
        # The least number instead of -inf: a sample without any modality would be 0/0.
        gate = torch.where(real, score.masked_fill(~real, torch.finfo(score.dtype).min).softmax(dim=1), 0)
        pooled: Tensor = (gate * torch.stack(hidden, dim=1)).sum(dim=1)  # [B,D]
        return Fused(pooled, *join(tokens, self.modalities), vectors, present, gate.detach().mean(dim=2))

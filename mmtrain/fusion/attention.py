"""Attention over modalities: a weighted sum whose weights depend on what each modality holds.

s_m = v^T tanh(U p_m) / √A, p_m = P_m n(h_m); w = softmax over the present modalities and one learned token;
z = MLP(sum_m w_m p_m + w_0 p_0). The additive score of Bahdanau et al. 2014, https://arxiv.org/abs/1409.0473, as
TorchMultimodal's AttentionFusionModule pools modalities. Differs: each score reads its own modality only, so an absent
one cannot leak through the scores of the others; and the scores are scaled. The hidden layer lets the modalities
interact beyond their weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor, nn

from mmtrain.contracts import Fused, Range, Tokens
from mmtrain.layers import MLP, join, pool, presence


class AttentionFusion(nn.Module):
    """Weighs the modalities of each sample.

    Parameters, A = `attention_size`, H = `hidden_size`: M(D² + 3D) for norms and maps, D for the learned token,
    A(D + 2) for the scores, (D + 1)H + (H + 1)D for the MLP.

    Args:
        modalities: Names, in the order of the config.
        width: D of the tokens.
        attention_size: Hidden units of the score; None: `width`.
        hidden_size: Hidden units of the MLP; None: `width`.
        dropout: On the hidden units of the MLP.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        width: int,
        *,
        attention_size: Annotated[int, Range(1)] | None = None,
        hidden_size: Annotated[int, Range(1)] | None = None,
        dropout: Annotated[float, Range(0, 1)] = 0.0,
    ) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.maps = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width)) for _ in self.modalities)
        self.token = nn.Parameter(torch.randn(width) * 0.02)
        size = attention_size or width
        # No bias on the score: softmax would cancel it, and it would never get a gradient.
        self.score = nn.Sequential(nn.Linear(width, size), nn.Tanh(), nn.Linear(size, 1, bias=False))
        self.scale = size**-0.5
        self.mlp = MLP(width, hidden_size or width, width, dropout=dropout)

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Tokens [B,L,D] of each modality -> pooled [B,D], weights [B,M] (less than 1 in sum by that of the token)."""
        vectors, present = pool(tokens, self.modalities), presence(tokens, self.modalities)
        mapped = [map_(vectors[name]) for map_, name in zip(self.maps, self.modalities, strict=True)]
        token = self.token.to(mapped[0].dtype).expand_as(mapped[0])
        stacked = torch.stack([*mapped, token], dim=1)  # [B,M+1,D]
        real = torch.cat([present, torch.ones_like(present[:, :1])], dim=1)  # the token is always there
        # Scaled as in a transformer: unscaled scores grow faster than a slow modality learns, and shut it out for good.
        scaled = self.score(stacked).squeeze(-1).float() * self.scale
        score = scaled.masked_fill(~real, -torch.inf)  # [B,M+1]
        weights = score.softmax(dim=1)
        pooled: Tensor = self.mlp((weights.unsqueeze(-1) * stacked).sum(dim=1))  # [B,D]
        return Fused(pooled, *join(tokens, self.modalities), vectors, present, weights[:, :-1].detach())

"""Attention over modalities: a weighted sum whose weights depend on what each modality holds, and on the others.

s_m = v^T tanh(U p_m + W q) / √A, p_m = P_m n(h_m), q the mean of all present p; w = softmax over the present modalities
and one learned token; z = MLP(sum_m w_m p_m + w_0 p_0). The additive score of Bahdanau et al. 2014,
https://arxiv.org/abs/1409.0473, where the decoder's state is the query. Differs: the query is made of the modalities
themselves, so that a sentence can turn the weight to the picture; and the scores are scaled. An absent modality is in
neither sum nor query. The hidden layer lets the modalities interact beyond their weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor, nn

from mmtrain.contracts import Fused, Range, Tokens
from mmtrain.layers import MLP, join, masked_mean, pool, presence


class AttentionFusion(nn.Module):
    """Weighs the modalities of each sample.

    Parameters, A = `attention_size`, H = `hidden_size`: M(D² + 3D) for norms and maps, D for the learned token,
    A(2D + 2) for the scores, (D + 1)H + (H + 1)D for the MLP.

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
        self.keys, self.query = nn.Linear(width, size), nn.Linear(width, size, bias=False)
        self.score = nn.Linear(size, 1, bias=False)  # softmax would cancel a bias, and it would never get a gradient
        self.scale = size**-0.5
        self.mlp = MLP(width, hidden_size or width, width, dropout=dropout)

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Tokens [B,L,D] of each modality -> pooled [B,D], weights [B,M] (less than 1 in sum by that of the token)."""
        vectors, present = pool(tokens, self.modalities), presence(tokens, self.modalities)
        mapped = [map_(vectors[name]) for map_, name in zip(self.maps, self.modalities, strict=True)]
        token = self.token.to(mapped[0].dtype).expand_as(mapped[0])
        stacked = torch.stack([*mapped, token], dim=1)  # [B,M+1,D]
        real = torch.cat([present, torch.ones_like(present[:, :1])], dim=1)  # the token is always there
        query = self.query(masked_mean(stacked, real)).unsqueeze(1)  # [B,1,A]
        # Scaled as in a transformer: unscaled scores grow faster than a slow modality learns, and shut it out for good.
        scaled = self.score((self.keys(stacked) + query).tanh()).squeeze(-1).float() * self.scale
        score = scaled.masked_fill(~real, -torch.inf)  # [B,M+1]
        weights = score.softmax(dim=1)
        pooled: Tensor = self.mlp((weights.unsqueeze(-1) * stacked).sum(dim=1))  # [B,D]
        return Fused(pooled, *join(tokens, self.modalities), vectors, present, weights[:, :-1].detach())

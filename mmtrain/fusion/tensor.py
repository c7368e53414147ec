"""Tensor fusion: all products of one feature of each modality, of every order, through a small network.

Zadeh et al. 2017, https://arxiv.org/abs/1707.07250: z = MLP([1; x_1] ⊗ ... ⊗ [1; x_M]). The 1 keeps the lower orders:
each modality alone, each pair, and so on. x_m = P_m n(h_m) of few features, which in the paper its encoders give.
Differs: one hidden layer of GELU units, where the paper has two of ReLU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor, nn

from mmtrain.contracts import Fused, Range, Tokens
from mmtrain.layers import MLP, join, pool, presence


class TensorFusion(nn.Module):
    """Multiplies everything with everything. Cost: exponential in M, hence the bound.

    An absent modality is x_m = 0: what remains are the products without it.

    Parameters, d = `projection_size`, H = `hidden_size`: M(2D + Dd + d) for norms and maps, ((d + 1)^M + 1)H + (H + 1)D
    for the MLP.

    Args:
        modalities: Names, in the order of the config.
        width: D of the tokens.
        projection_size: Features of each modality that are multiplied.
        max_products: Refuses to build more products than this; each has `hidden_size` weights.
        hidden_size: Hidden units of the MLP; None: `width`.
        dropout: On the hidden units of the MLP.

    Raises:
        ValueError: There would be more than `max_products` products.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        width: int,
        *,
        projection_size: Annotated[int, Range(1)] = 16,
        max_products: Annotated[int, Range(1)] = 100_000,
        hidden_size: Annotated[int, Range(1)] | None = None,
        dropout: Annotated[float, Range(0, 1)] = 0.0,
    ) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        count = len(self.modalities)
        products = (projection_size + 1) ** count
        if products > max_products:
            raise ValueError(
                f"`projection_size` (={projection_size}) of {count} modalities makes {projection_size + 1}^{count} = "
                f"{products:,} products of {hidden_size or width} weights each, more than `max_products` "
                f"(={max_products:,}); use a smaller one, fewer modalities, or fusion=low_rank."
            )
        self.maps = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, projection_size)) for _ in self.modalities
        )
        self.mlp = MLP(products, hidden_size or width, width, dropout=dropout)

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Tokens [B,L,D] of each modality -> pooled [B,D]."""
        vectors, present = pool(tokens, self.modalities), presence(tokens, self.modalities)
        product = vectors[self.modalities[0]].new_ones(len(present), 1)  # [B,1]
        for index, (map_, name) in enumerate(zip(self.maps, self.modalities, strict=True)):
            factor = torch.where(present[:, index : index + 1], map_(vectors[name]), 0)  # [B,d]
            factor = torch.cat([torch.ones_like(factor[:, :1]), factor], dim=1)  # [B,d+1]
            product = (product.unsqueeze(2) * factor.unsqueeze(1)).flatten(1)  # [B,(d+1)^m]
        pooled: Tensor = self.mlp(product)
        return Fused(pooled, *join(tokens, self.modalities), vectors, present)

"""FiLM: one modality rescales and shifts the features of every token of the others.

Feature-wise linear modulation, Perez et al. 2018, https://arxiv.org/abs/1709.07871: (Δγ, β) = W x_a + b, and each
token x of another modality passes the paper's residual block, u = relu(W_1 x), y = u + relu((1 + Δγ) * n(W_2 u) + β),
n without scale and shift of its own. z = mean over the present others of the mean of their y. Differs: maps of single
tokens where the paper has 3x3 convolutions, LayerNorm for BatchNorm, one block. Without a, Δγ = β = 0; without any
other, z = relu(P x_a), x_a = n(h_a).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmtrain.contracts import Fused, Tokens
from mmtrain.layers import join, masked_mean, pool, presence
from mmtrain.suggest import did_you_mean


class FiLMFusion(nn.Module):
    """Lets one modality, often a text, modulate the tokens of the others; not symmetric. Cost: linear in M.

    Parameters: D² + 3D for the conditioner, 4(D² + D) for each of the M - 1 others.

    Args:
        modalities: Names, in the order of the config.
        width: D of the tokens.
        conditioner: The modality that modulates the others; None: the first.

    Raises:
        ValueError: `conditioner` is not among the modalities.
    """

    def __init__(self, modalities: Sequence[str], width: int, *, conditioner: str | None = None) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.conditioner = self.modalities[0] if conditioner is None else conditioner
        if self.conditioner not in self.modalities:
            known = did_you_mean(self.conditioner, self.modalities) or f" There is {', '.join(self.modalities)}."
            raise ValueError(f"`fusion.conditioner`: no modality '{conditioner}'.{known}")
        self.norm, self.alone = nn.LayerNorm(width), nn.Linear(width, width)
        self.blocks = nn.ModuleDict({name: FiLMBlock(width) for name in self.modalities if name != self.conditioner})

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Tokens [B,L,D] of each modality -> pooled [B,D]; the sequence holds the modulated tokens."""
        vectors, present = pool(tokens, self.modalities), presence(tokens, self.modalities)
        index = self.modalities.index(self.conditioner)
        condition, has = self.norm(vectors[self.conditioner]), present[:, index : index + 1]  # [B,D], [B,1]
        updated = dict(tokens)
        for name, block in self.blocks.items():
            updated[name] = tokens[name]._replace(values=block(tokens[name], condition, has))
        means = pool(updated, self.modalities) | {self.conditioner: self.alone(condition).relu()}
        others = torch.arange(len(self.modalities), device=present.device) != index  # [M]
        accompanied = (present & others).any(dim=1, keepdim=True)  # [B,1]
        stacked = torch.stack([means[name] for name in self.modalities], dim=1)  # [B,M,D]
        pooled = masked_mean(stacked, torch.where(accompanied, present & others, present))
        return Fused(pooled, *join(updated, self.modalities), vectors, present)


class FiLMBlock(nn.Module):
    """The residual block of the modulated modality, with the generator of its Δγ and β."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.generator = nn.Linear(width, 2 * width)
        self.outer, self.inner = nn.Linear(width, width), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)

    def forward(self, tokens: Tokens, condition: Tensor, has: Tensor) -> Tensor:
        """Tokens [B,L,D], condition [B,D], whether a row has one [B,1] -> [B,L,D]."""
        values = torch.where(tokens.mask.unsqueeze(-1), tokens.values, 0)
        gamma, beta = torch.where(has, self.generator(condition), 0).unsqueeze(1).chunk(2, dim=-1)  # [B,1,D] each
        hidden: Tensor = self.outer(values).relu()
        modulated: Tensor = (1 + gamma) * self.norm(self.inner(hidden)) + beta
        return hidden + modulated.relu()

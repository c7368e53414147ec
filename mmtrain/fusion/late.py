"""Late fusion: every modality answers by itself, and the answers are combined.

l_m = head_m(h_m), the logits of modality m. `mean`: l = sum_m a_m l_m / sum_m a_m, the ensemble of unimodal models that
Du et al. 2023, https://arxiv.org/abs/2305.01233, find hard to beat; here trained as one. `product`: a product of
experts (Hinton 2002, "Training products of experts by minimizing contrastive divergence"), log p = log softmax(sum_m
a_m log softmax(l_m)) + const, and since log softmax only shifts the logits of an expert, l = sum_m a_m l_m. For tags,
whose logits are log odds, the same sum multiplies the odds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mmtrain.contracts import Fused, Tokens
from mmtrain.layers import join, masked_mean, pool, presence


class LateFusion(nn.Module):
    """Combines logits, not vectors: nothing that one modality holds changes what another means. Cost: linear in M.

    An absent modality has no vote; where all are absent, the logits are zeros. `pooled` is the mean of h_m over the
    present modalities, which the head does not read.

    Parameters: none here; the head is M times that of the task.

    Args:
        modalities: Names, in the order of the config.
        width: D of the tokens.
        combine: `mean` or `product`, as above; a product grows more certain with every modality that agrees.
    """

    def __init__(self, modalities: Sequence[str], width: int, *, combine: Literal["mean", "product"] = "mean") -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.width, self.combine = width, combine

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Tokens [B,L,D] of each modality -> pooled [B,D]."""
        vectors, present = pool(tokens, self.modalities), presence(tokens, self.modalities)
        pooled = masked_mean(torch.stack(list(vectors.values()), dim=1), present)  # [B,D]
        return Fused(pooled, *join(tokens, self.modalities), vectors, present)

    def make_head(self, make: Callable[[int], nn.Module]) -> nn.Module:
        """One head a modality, `make(width)` each, and their combination."""
        return LateHead({name: make(self.width) for name in self.modalities}, self.combine)


class LateHead(nn.Module):
    """Fused -> logits [B,...]: those of the heads of the present modalities, averaged or added up."""

    def __init__(self, heads: Mapping[str, nn.Module], combine: str) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(heads)
        self.combine = combine

    def forward(self, fused: Fused) -> Tensor:
        """Returns logits [B,...]."""
        answers = [head(fused._replace(pooled=fused.by_modality[name])) for name, head in self.heads.items()]
        stacked = torch.stack(answers, dim=1)  # [B,M,...]
        flat = stacked.flatten(2)  # [B,M,K]
        total = torch.where(fused.presence.unsqueeze(-1), flat, 0).sum(dim=1)  # [B,K]
        if self.combine == "mean":
            total = total / fused.presence.sum(dim=1, keepdim=True).clamp(min=1)
        logits: Tensor = total.view_as(stacked[:, 0])
        return logits

"""Contrastive alignment: the modalities of a sample are pulled together, those of different samples apart.

For each pair (m, n), over the rows that have both: the symmetric cross-entropy of CLIP, Radford et al. 2021,
https://arxiv.org/abs/2103.00020, on u_m·u_n / τ, u = h / |h|. Differs: τ is fixed. It helps where modalities say the
same and can hurt where each says something of its own. Rows of other processes and parts of the batch are not
contrasted.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional as F


def contrast(vectors: Mapping[str, Tensor], presence: Mapping[str, Tensor], weight: Tensor, tau: float) -> Tensor:
    """Weighted sum over rows of the mean over pairs of modalities; a scalar.

    Args:
        vectors: [B,D] of each modality.
        presence: [B] bool of each: which row has it.
        weight: Of the rows, [B]; a row of 0 is not contrasted either.
        tau: The temperature.
    """
    pairs = list(combinations(vectors, 2))
    total = weight.new_zeros(())
    units = {name: F.normalize(vector.float(), dim=1) for name, vector in vectors.items()}
    for first, second in pairs:
        both = presence[first] & presence[second] & (weight > 0)  # [B]
        scores = units[first] @ units[second].T / tau  # [B,B]
        # Large and finite: a row of -inf only would be nan in softmax, and nan in the gradient of where.
        scores = scores.masked_fill(~(both.unsqueeze(0) & both.unsqueeze(1)), -1e4)
        target = torch.arange(len(weight), device=weight.device)
        losses = F.cross_entropy(scores, target, reduction="none") + F.cross_entropy(scores.T, target, reduction="none")
        total = total + torch.where(both, 0.5 * losses * weight, 0).sum()
    return total / max(len(pairs), 1)

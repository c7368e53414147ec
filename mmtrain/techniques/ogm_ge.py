"""OGM-GE: the encoders of modalities that run ahead get smaller gradients, and noise.

Peng et al. 2022, "Balanced Multimodal Learning via On-the-fly Gradient Modulation", https://arxiv.org/abs/2203.15332:
ρ_u = sum_i softmax(l_u)[y_i] / sum_i softmax(l_v)[y_i] over the batch, k_u = 1 - tanh(α ρ_u) where ρ_u > 1, else 1, and
the gradients of encoder u become k_u g + N(0, std(g)²). Differs: any number of modalities, ρ_m = s_m / mean of the
others' s, s_m the mean likelihood over the rows that have m; l_m are the logits of a trained unimodal head, where the
paper splits the weights of one linear head on two concatenated vectors; noise on all matrices and filters, where the
authors' code has it on convolutions; the projection of a modality is modulated with its encoder.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


def coefficients(scores: Sequence[float], alpha: float) -> list[float]:
    """k of each modality from the mean likelihood s of each; 1 where there is no other."""
    found = []
    for index, score in enumerate(scores):
        others = [other for place, other in enumerate(scores) if place != index]
        ratio = score / max(sum(others) / len(others), 1e-12) if others else 0.0
        found.append(1 - math.tanh(alpha * ratio) if ratio > 1 else 1.0)
    return found


@torch.no_grad()
def modulate(gradients: Iterable[Tensor], coefficient: float) -> None:
    """Scales gradients in place and adds noise to those of matrices and filters, from the global generator."""
    for gradient in gradients:
        noise = torch.randn_like(gradient) * gradient.std(correction=0) if gradient.dim() > 1 else None
        gradient.mul_(coefficient)
        if noise is not None:
            gradient.add_(noise)

"""MMPareto: an encoder's joint and unimodal gradients are combined so that neither works against the other.

Wei and Hu 2024, https://arxiv.org/abs/2405.17730. For the encoder of each modality, g its gradient from the joint loss
and u from its own: where g·u >= 0, h = g + u; else h = 2(a g + (1 - a) u), a in 0..1 that makes |h| smallest, which is
the common direction of descent of both. Then h is made at least as long as g + u, and stretched by γ.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


@torch.no_grad()
def combine(joint: Sequence[Tensor], own: Sequence[Tensor], gamma: float) -> list[Tensor]:
    """h for the gradients of one encoder's parameters, taken together as one vector each."""
    dot = torch.stack([(g * u).sum() for g, u in zip(joint, own, strict=True)]).sum()
    lengths = [torch.stack([part.square().sum() for part in parts]).sum() for parts in (joint, own)]
    # |a g + (1 - a) u|² is smallest at a = (u - g)·u / |g - u|²
    apart = (lengths[0] + lengths[1] - 2 * dot).clamp(min=1e-30)
    share = torch.where(dot >= 0, 0.5, ((lengths[1] - dot) / apart).clamp(0, 1))
    mixed = [2 * (share * g + (1 - share) * u) for g, u in zip(joint, own, strict=True)]
    length = torch.stack([part.square().sum() for part in mixed]).sum()
    summed = (lengths[0] + lengths[1] + 2 * dot).clamp(min=0)  # |g + u|²
    stretch = gamma * (summed / length.clamp(min=1e-30)).sqrt().clamp(min=1)
    return [part * stretch for part in mixed]

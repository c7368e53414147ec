"""Videos made worse in time: frames that are lost, that stick, that come too early or too late; [F,C,H,W] uint8."""

from __future__ import annotations

import torch
from torch import Tensor

from mmtrain import seeding


def drop(values: Tensor, level: float, key: int) -> Tensor:
    """Leaves out a share `level` of the frames, at most all but one: the video becomes shorter."""
    drawn = torch.rand(len(values), generator=seeding.generator(key))  # [F]
    kept = (drawn >= level) | (drawn == drawn.max())
    return values[kept]


def freeze(values: Tensor, level: float, key: int) -> Tensor:
    """Shows, in place of a share `level` of the frames, the last sound one before them; the first is always sound."""
    sound = torch.rand(len(values), generator=seeding.generator(key)) >= level  # [F]
    sound[0] = True
    return values[torch.where(sound, torch.arange(len(values)), 0).cummax(dim=0).values]


def shift(values: Tensor, level: float, key: int) -> Tensor:
    """Plays it too early or too late against the other modalities, at level 1 by its whole length.

    The first or the last frame stands still where there is none to show.
    """
    steps = round(level * len(values)) * (1 if seeding.key(key, "late") % 2 else -1)
    return values[(torch.arange(len(values)) - steps).clamp(0, len(values) - 1)]

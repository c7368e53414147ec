"""Numbers made worse: stored features with noise or holes [D] or [T,D], and rows of a table with blank cells [T]."""

from __future__ import annotations

import torch
from torch import Tensor

from mmtrain import seeding


def noise(values: Tensor, level: float, key: int) -> Tensor:
    """Adds normal noise; at level 1 it is as strong as the values, as roots of mean squares."""
    drawn = torch.randn(values.shape, generator=seeding.generator(key))
    return values + level * values.square().mean().sqrt() * drawn


def dropout(values: Tensor, level: float, key: int) -> Tensor:
    """Sets a share `level` of the values to 0."""
    return values.masked_fill(torch.rand(values.shape, generator=seeding.generator(key)) < level, 0)


def blank(values: Tensor, level: float, key: int) -> Tensor:
    """Blanks a share `level` of the cells: nan, as where the table has none."""
    return values.masked_fill(torch.rand(values.shape, generator=seeding.generator(key)) < level, torch.nan)

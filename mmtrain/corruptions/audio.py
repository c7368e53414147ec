"""Sounds made worse: noise, dropouts, clipping, delay. All take and give [T] float32; the key says what is drawn."""

from __future__ import annotations

import torch
from torch import Tensor

from mmtrain import seeding

LOUDEST = 10 ** (5 / 20)  # noise to sound at level 1, as a ratio of their roots of mean squares: 5 dB
_PIECES = 50  # of a sound that drops out; 20 ms each where it lasts a second


def noise(values: Tensor, level: float, key: int) -> Tensor:
    """Adds white noise at a signal-to-noise ratio of -5 - 20 log10(level) decibels: 15 at level .1, 1 at .5, -5 at 1.

    Silence stays silent: it has no power that noise could be measured by.
    """
    drawn = torch.randn(len(values), generator=seeding.generator(key))
    return values + level * LOUDEST * values.square().mean().sqrt() * drawn


def dropout(values: Tensor, level: float, key: int) -> Tensor:
    """Silences a share `level` of 50 equal pieces of the sound."""
    silent = torch.rand(_PIECES, generator=seeding.generator(key)) < level
    pieces = torch.arange(len(values)) * _PIECES // max(1, len(values))  # [T]: the piece of each sample
    return values.masked_fill(silent[pieces], 0)


def clipping(values: Tensor, level: float, key: int) -> Tensor:
    """Cuts what lies beyond a share 1 - `level` of the loudest sample; at level 1 nothing is left."""
    most = (1 - level) * values.abs().amax()
    return values.clamp(-most, most)


def shift(values: Tensor, level: float, key: int) -> Tensor:
    """Plays it too early or too late against the other modalities, at level 1 by its whole length; silence fills in."""
    steps = round(level * len(values))
    moved = torch.zeros_like(values)
    if seeding.key(key, "late") % 2:
        moved[steps:] = values[: len(values) - steps]
    else:
        moved[: len(values) - steps] = values[steps:]
    return moved

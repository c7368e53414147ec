"""Mixup and CutMix: training rows mixed with others of their batch, targets with them, in all modalities at once.

Mixup (Zhang et al. 2018, https://arxiv.org/abs/1710.09412) takes (1 - s) of one sample and s of another, CutMix (Yun et
al. 2019, https://arxiv.org/abs/1905.04899) puts a rectangle of the other, s of the area, into a picture; the loss is
(1 - s) times that for the one target and s times that for the other. Differs: s is drawn a row and is at most .5, so
that a row stays mostly itself; a sound gets a stretch of the other, s of its length; texts and columns, which have no
in-between, stay as they are. Partners are drawn with the plan, from the whole batch, so that neither processes nor
workers change them; a partner is read a second time, with augmentations of its own.
"""

from __future__ import annotations

import math
from dataclasses import replace
from types import EllipsisType
from typing import cast

import numpy as np
import torch
from torch import Tensor

from mmtrain import seeding
from mmtrain.contracts import Batch, DataSpec, Draw, Mix, Mixed, Signal
from mmtrain.data.plan import Batches, shuffled
from mmtrain.protocols import Plan

KINDS = ("image", "video", "audio")
"""What can be mixed."""


def with_partners(plan: Plan, spec: DataSpec, mixing: str, alpha: float) -> Plan:
    """The plan, with partners where `mixing` is mixup or cutmix."""
    return plan if mixing == "none" else MixedPlan(plan, spec, cut=mixing == "cutmix", alpha=alpha)


class MixedPlan:
    """A plan whose draws have partners: in each batch every row is the partner of one other.

    Args:
        plan: What is drawn.
        spec: Facts about the data.
        cut: CutMix; else Mixup.
        alpha: s is drawn from Beta(alpha, alpha), and 1 - s taken where that is less.

    Raises:
        ValueError: No modality can be mixed.
    """

    def __init__(self, plan: Plan, spec: DataSpec, *, cut: bool, alpha: float) -> None:
        if not any(signal.kind in KINDS for signal in spec.signals.values()):
            raise ValueError(f"mixes {', '.join(KINDS)} only, and there is {', '.join(spec.signals)}")
        self._plan, self._cut, self._alpha = plan, cut, alpha
        self.rows = plan.rows

    def __call__(self, *, seed: int, epoch: int, batch_size: int) -> Batches:
        """The batches of an epoch."""
        batches = self._plan(seed=seed, epoch=epoch, batch_size=batch_size)
        return Batches(len(batches), lambda number: self._paired(batches[number], (seed, epoch, number)))

    def _paired(self, batch: list[Draw], key: tuple[int, int, int]) -> list[Draw]:
        circle = shuffled(range(len(batch)), *key, "partners")
        random = np.random.RandomState(seeding.key(*key, "shares") % 2**32)
        shares = random.beta(self._alpha, self._alpha, len(batch)).tolist()
        made = list(batch)
        for place, partner, share in zip(circle, circle[1:] + circle[:1], shares, strict=True):
            if place != partner:
                made[place] = batch[place]._replace(mix=Mix(batch[partner].row, min(share, 1 - share), self._cut))
        return made


def partners(draws: list[Draw]) -> list[Draw]:
    """The draws of the partners; a row without one stands for itself."""
    return [
        draw if draw.mix is None else Draw(draw.mix.row, seeding.key(draw.key, "partner"), draw.weight)
        for draw in draws
    ]


def mixed(batch: Batch, others: Batch, draws: list[Draw], spec: DataSpec) -> Batch:
    """The batch with the rows of `others` mixed into it; a row that could not be read is mixed with none."""
    usable = ((batch.weight > 0) & (others.weight > 0)).tolist()
    shares = [draw.mix.share if draw.mix and ok else 0.0 for draw, ok in zip(draws, usable, strict=True)]
    signals = dict(batch.signals)
    for name, signal in batch.signals.items():
        if spec.signals[name].kind in KINDS:
            pair = cast(tuple[Signal, Signal], (signal, others.signals[name]))  # where rows are mixed none is encoded
            signals[name] = _mixed(*pair, shares, draws, spec.signals[name].length > 1)
    return replace(batch, signals=signals, mix=Mixed(others.targets, torch.tensor(shares)))


def _mixed(own: Signal, other: Signal, shares: list[float], draws: list[Draw], steps: bool) -> Signal:
    """The values of rows that both have; steps beyond the end of the other are silence, or black, before mixing."""
    values = own.values.clone()
    both = (own.mask.any(dim=1) & other.mask.any(dim=1)).tolist()
    for row, (share, draw) in enumerate(zip(shares, draws, strict=True)):
        if not (share and both[row]):
            continue
        length = int(own.mask[row].sum()) if steps else 1
        mine = values[row, :length] if steps else values[row]
        theirs = torch.zeros_like(mine)
        if steps:
            known = min(length, int(other.mask[row].sum()))
            theirs[:known] = other.values[row, :known]
        else:
            theirs.copy_(other.values[row])
        if draw.mix and draw.mix.cut:
            part = _part(mine, share, draw.key)
            mine[part] = theirs[part]
        else:
            mine.lerp_(theirs, share)
    return Signal(values, own.mask)


def _part(values: Tensor, share: float, key: int) -> tuple[slice | EllipsisType, ...]:
    """A rectangle of a picture [...,C,H,W], or a stretch of a sound [T], that holds such a share of it."""
    sides = values.shape[-2:] if values.dim() > 1 else values.shape
    starts = torch.rand(len(sides), generator=seeding.generator(key, "cut")).tolist()
    cut = [round(side * share ** (1 / len(sides))) for side in sides]
    slices = (
        slice(start := math.floor(place * (side - size + 1)), start + size)
        for place, side, size in zip(starts, sides, cut, strict=True)
    )
    return (..., *slices)

"""Gradient blending: each head's loss counts by how much it generalises for what it overfits.

Wang et al. 2019, "What Makes Training Multi-Modal Classification Networks Hard?", https://arxiv.org/abs/1905.12681: of
each modality's head and of the joint one, between two measurements, G = the fall of the validation loss and O = the
growth of validation loss - training loss; the losses are weighed by w_k = G_k / O_k² / Z, with sum 1. Differs: before
each stretch of training the paper trains a network for every modality and one for all, apart and from the same start,
only to find its weights; ours measures the heads of the one network that trains, and weighs the stretch to come by the
one that is over. It needs no other training, but G and O of a head depend on encoders that all heads have moved, and on
the weights so far. So no head is given up: a tenth of the weight is shared out equally, and a head whose validation
loss has risen has only that; where all have, the weights stay. |O| counts as at least a tenth of the largest of all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

_SHARED = 0.1
_LEAST = 0.1  # of the largest |O|: a gap that happens to stand still would take all the weight


@dataclass
class Blending:
    """The weights of the losses, and the measurement that the next one is compared with; the joint head is first.

    Args:
        weights: One a head, with sum 1.
        train: Mean loss of each head over training rows when last measured; empty before that.
        val: Likewise over validation rows.
        step: Of the last measurement.
    """

    weights: list[float]
    train: list[float]
    val: list[float]
    step: int = -1

    @classmethod
    def start(cls, modalities: int, unimodal_weight: float) -> Blending:
        """Weights in the proportions 1 for the joint head and `unimodal_weight` for each other."""
        total = 1 + modalities * unimodal_weight
        return cls([1 / total, *[unimodal_weight / total] * modalities], [], [])

    def measured(self, step: int, train: Sequence[float], val: Sequence[float]) -> None:
        """Takes the losses of this step, unless one is not finite; from the second time on they make new weights."""
        self.step = step
        if not all(map(math.isfinite, [*train, *val])):
            return
        if self.val:
            gains = [before - after for before, after in zip(self.val, val, strict=True)]
            gaps = [v - t - (w - u) for v, t, w, u in zip(val, train, self.val, self.train, strict=True)]
            self.weights = blend(gains, gaps) or self.weights
        self.train, self.val = list(train), list(val)

    def restore(self, saved: Mapping[str, object]) -> None:
        """Takes what a checkpoint holds.

        Raises:
            ValueError: It is not what `asdict` has made of a state with as many heads.
        """
        weights, train, val, step = (saved.get(key) for key in ("weights", "train", "val", "step"))
        count = len(self.weights)
        if not (_finite(weights) and _finite(train) and _finite(val)) or len(weights) != count:
            raise ValueError(f"`weights`, `train` and `val` must hold finite numbers, one for each of {count} heads")
        if len(train) != len(val) or len(val) not in (0, count) or not isinstance(step, int):
            raise ValueError("`train` and `val` must be measured together, and `step` be a whole number")
        self.weights, self.train, self.val, self.step = weights, train, val, step


def blend(gains: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """Weights of the heads with sum 1; none where no head has gained.

    Args:
        gains: G of each head.
        gaps: O of each head; where all are 0, G alone decides.
    """
    least = max(_LEAST * max(map(abs, gaps)), 1e-12)
    worth = [max(gain, 0) / max(abs(gap), least) ** 2 for gain, gap in zip(gains, gaps, strict=True)]
    if not (total := sum(worth)) > 0:
        return []
    return [(1 - _SHARED) * one / total + _SHARED / len(worth) for one in worth]


def _finite(found: object) -> TypeGuard[list[float]]:
    return isinstance(found, list) and all(type(one) in (int, float) and math.isfinite(one) for one in found)

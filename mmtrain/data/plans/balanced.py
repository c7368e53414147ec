"""Every class equally often, however rare it is in the table: sampling against class imbalance.

Class-balanced sampling as in Kang et al. 2019, "Decoupling Representation and Classifier for Long-Tailed Recognition",
https://arxiv.org/abs/1910.09217. Differs: the classes take turns, so that their counts are equal and not only so on
average, and the rows of a class come up in whole rounds, so that none is drawn twice before all were drawn once.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Annotated

from mmtrain.contracts import Range
from mmtrain.data.dataset import Data
from mmtrain.data.plan import Batches, drawn, shuffled


class BalancedPlan:
    """Draws a fixed number of rows an epoch, an equal share of each class; the rest falls to classes drawn for it.

    Args:
        data: Rows and targets; rows without the target are never drawn.
        target: The target whose classes are balanced; None: the first that has classes.
        rows: Draws an epoch; None: as many as there are training rows.

    Raises:
        ValueError: No such target, or one without classes; or `rows` leaves a class without a row.
    """

    def __init__(self, data: Data, *, target: str | None = None, rows: Annotated[int, Range(1)] | None = None) -> None:
        having = [name for name, spec in data.spec.targets.items() if spec.kind == "class"]
        name = target or next(iter(having), "")
        if name not in having:
            found = ", ".join(f"{name} ({spec.kind})" for name, spec in data.spec.targets.items())
            raise ValueError(f"balances the classes of a target, but `{name}` is none; targets: {found}")
        train = data.source.splits["train"]
        classes: dict[str, list[int]] = {}
        for row in train:
            value = data.source.target(row, name)
            if value is not None:
                classes.setdefault(value, []).append(row)
        self._classes = [classes[value] for value in sorted(classes)]
        self.rows = len(train) if rows is None else rows
        if self.rows < len(self._classes):
            raise ValueError(f"`rows` (={self.rows}) must give each of {len(self._classes)} classes a row an epoch")

    def __call__(self, *, seed: int, epoch: int, batch_size: int) -> Batches:
        """The batches of an epoch; each class goes on where the epoch before has left it."""
        count = len(self._classes)
        start, end = epoch * self.rows, (epoch + 1) * self.rows  # places in the turns of the classes, from the first on
        chosen: list[int] = []
        for number, rows in enumerate(self._classes):
            before, after = _turns(start, count, number, seed), _turns(end, count, number, seed)
            chosen += islice(_rounds(rows, before, seed, number), after - before)
        return drawn(shuffled(chosen, seed, epoch, "order"), seed=seed, epoch=epoch, batch_size=batch_size)


def _turns(places: int, count: int, number: int, seed: int) -> int:
    """How often a class has its turn in so many places; each round of turns has an order of its own."""
    whole, rest = divmod(places, count)
    return whole + (number in shuffled(range(count), seed, whole, "turns")[:rest])


def _rounds(rows: list[int], start: int, seed: int, number: int) -> Iterator[int]:
    """The rows of a class, all of them in every round, from a place in the endless list of rounds on."""
    turn, place = divmod(start, len(rows))
    while True:
        yield from shuffled(rows, seed, number, turn, "balanced")[place:]
        turn, place = turn + 1, 0

"""Plans: which rows make which batch, as a pure function of seed and epoch.

A plan is a sequence of global batches, each made when it is asked for. Nothing of it is ever saved: a run resumes by
making it again and starting at the batch it has reached, so that worker count, prefetching and evaluation cannot move
it.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import overload

import numpy as np
import torch

from mmtrain import seeding
from mmtrain.contracts import Draw


class Batches(Sequence[list[Draw]]):
    """Batches that are made when they are asked for: the draws of a million rows would take 100 MB.

    Equal to any sequence of equal batches.

    Args:
        count: How many there are.
        make: Gives the batch of a number; the same at every call.
    """

    def __init__(self, count: int, make: Callable[[int], list[Draw]]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, number: int) -> list[Draw]: ...
    @overload
    def __getitem__(self, number: slice) -> Batches: ...
    def __getitem__(self, number: int | slice) -> list[Draw] | Batches:
        chosen = range(self._count)[number]
        if isinstance(chosen, int):
            return self._make(chosen)
        return Batches(len(chosen), lambda place: self._make(chosen[place]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)


def uniform(rows: Sequence[int], *, seed: int, epoch: int, batch_size: int) -> Batches:
    """Every row once, in an order drawn for the epoch."""
    return drawn(shuffled(rows, seed, epoch, "order"), seed=seed, epoch=epoch, batch_size=batch_size)


def shuffled(rows: Sequence[int], *parts: int | str) -> array[int]:
    """The rows in an order that follows from the parts of a key."""
    order = torch.randperm(len(rows), generator=seeding.generator(*parts)).numpy()
    return array("q", np.asarray(rows, np.int64)[order].tobytes())


def drawn(rows: Iterable[int], *, seed: int, epoch: int, batch_size: int) -> Batches:
    """Batches of rows in the order given, each draw with the key of its position in the epoch.

    The last partial batch is kept; a last batch of a single row joins the one before, as batch statistics need two.
    """
    order = array("q", rows)
    count = batch_count(len(order), batch_size) if order else 0

    def batch(number: int) -> list[Draw]:
        start = number * batch_size
        end = start + batch_size if number < count - 1 else len(order)
        return [Draw(order[place], seeding.key(seed, epoch, place, "row")) for place in range(start, end)]

    return Batches(count, batch)


def batch_count(rows: int, batch_size: int) -> int:
    """How many batches `drawn` makes of so many rows."""
    return max(1, rows // batch_size + (rows % batch_size > 1))


def sequential(rows: Sequence[int], *, batch_size: int) -> Batches:
    """Every row once, in the order given: for evaluation, where nothing is random."""
    starts = range(0, len(rows), batch_size)

    def batch(number: int) -> list[Draw]:
        return [Draw(row, 0) for row in rows[starts[number] : starts[number] + batch_size]]

    return Batches(len(starts), batch)


def share(batch: list[Draw], *, parts: int, part: int) -> list[Draw]:
    """What process `part` of `parts` takes of a global batch: as many rows as every other, never none.

    Where the batch does not divide evenly, its first draw fills the gap with weight 0.
    """
    mine = batch[part::parts]
    return mine + [batch[0]._replace(weight=0.0)] * (math.ceil(len(batch) / parts) - len(mine))

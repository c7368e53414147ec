"""Plans: which rows make which batch, as a pure function of seed and epoch.

A plan is a list of global batches. Nothing of it is ever saved: a run resumes by making it again and starting at the
batch it has reached, so that worker count, prefetching and evaluation cannot move it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch

from mmtrain import seeding
from mmtrain.contracts import Draw


def uniform(rows: Sequence[int], *, seed: int, epoch: int, batch_size: int) -> list[list[Draw]]:
    """Every row once, in an order drawn for the epoch."""
    return drawn(shuffled(rows, seed, epoch, "order"), seed=seed, epoch=epoch, batch_size=batch_size)


def shuffled(rows: Sequence[int], *parts: int | str) -> list[int]:
    """The rows in an order that follows from the parts of a key."""
    order = torch.randperm(len(rows), generator=seeding.generator(*parts)).tolist()
    return [rows[place] for place in order]


def drawn(rows: Iterable[int], *, seed: int, epoch: int, batch_size: int) -> list[list[Draw]]:
    """Batches of rows in the order given, each draw with the key of its position in the epoch.

    The last partial batch is kept; a last batch of a single row joins the one before, as batch statistics need two.
    """
    draws = [Draw(row, seeding.key(seed, epoch, position, "row")) for position, row in enumerate(rows)]
    batches = _cut(draws, batch_size)
    if batch_size > 1 and len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [batches[-2] + batches[-1]]
    return batches


def batch_count(rows: int, batch_size: int) -> int:
    """How many batches `drawn` makes of so many rows."""
    return max(1, rows // batch_size + (rows % batch_size > 1))


def sequential(rows: Sequence[int], *, batch_size: int) -> list[list[Draw]]:
    """Every row once, in the order given: for evaluation, where nothing is random."""
    return _cut([Draw(row, 0) for row in rows], batch_size)


def share(batch: list[Draw], *, parts: int, part: int) -> list[Draw]:
    """What process `part` of `parts` takes of a global batch: as many rows as every other, never none.

    Where the batch does not divide evenly, its first draw fills the gap with weight 0.
    """
    mine = batch[part::parts]
    return mine + [batch[0]._replace(weight=0.0)] * (math.ceil(len(batch) / parts) - len(mine))


def _cut(draws: list[Draw], batch_size: int) -> list[list[Draw]]:
    return [draws[start : start + batch_size] for start in range(0, len(draws), batch_size)]

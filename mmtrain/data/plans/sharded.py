"""Shards in random order, and their rows mixed while they are read: random enough, and near to reading in sequence.

The shuffle buffer of WebDataset (https://github.com/webdataset/webdataset) and TensorFlow's `Dataset.shuffle`: of
`window` rows that wait one is drawn at random, and the next one of the shard takes its place. Differs: the order is a
pure function of seed and epoch, so that a run can be resumed anywhere in it.
"""

from __future__ import annotations

from typing import Annotated

import torch

from mmtrain import seeding
from mmtrain.contracts import Range
from mmtrain.data.dataset import Data
from mmtrain.data.plan import Batches, drawn, shuffled
from mmtrain.protocols import Sharded


class ShardedPlan:
    """Draws every row once, those of a shard near to each other.

    Args:
        data: Rows whose source says in which shard each lies.
        window: Rows that wait to be drawn: more mix better, and read from more places at a time.

    Raises:
        ValueError: The data are not in shards.
    """

    def __init__(self, data: Data, *, window: Annotated[int, Range(1)] = 4096) -> None:
        if not isinstance(data.source, Sharded):
            raise ValueError("reads shard after shard, but the data are not in shards; choose plan=uniform")
        train = set(data.source.splits["train"])
        shards = ([row for row in shard if row in train] for shard in data.source.shards)
        self._shards = [shard for shard in shards if shard]
        self.window = window
        self.rows = len(train)

    def __call__(self, *, seed: int, epoch: int, batch_size: int) -> Batches:
        """The batches of an epoch."""
        order = shuffled(range(len(self._shards)), seed, epoch, "shards")
        waiting = [row for number in order for row in self._shards[number]]
        places = torch.randint(self.window, (self.rows,), generator=seeding.generator(seed, epoch, "window")).tolist()
        pool, mixed = waiting[: self.window], []
        for row, place in zip(waiting[self.window :], places, strict=False):
            mixed.append(pool[place])
            pool[place] = row
        mixed += shuffled(pool, seed, epoch, "order")
        return drawn(mixed, seed=seed, epoch=epoch, batch_size=batch_size)

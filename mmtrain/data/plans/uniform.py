"""Every training row once an epoch, in an order of its own."""

from __future__ import annotations

from mmtrain.data.dataset import Data
from mmtrain.data.plan import Batches, uniform


class UniformPlan:
    """Draws every row once; see `mmtrain.data.plan.uniform`."""

    def __init__(self, data: Data) -> None:
        """Takes the training rows."""
        self._train = data.source.splits["train"]
        self.rows = len(self._train)

    def __call__(self, *, seed: int, epoch: int, batch_size: int) -> Batches:
        """The batches of an epoch."""
        return uniform(self._train, seed=seed, epoch=epoch, batch_size=batch_size)

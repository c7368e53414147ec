"""Weight and loss of a batch whose rows may be mixed with others, by whatever task; see `mmtrain.data.mixing`."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mmtrain.contracts import Batch, Outputs
from mmtrain.protocols import Task


def mixed_weight(task: Task, batch: Batch) -> float:
    """What the batch counts in the mean loss: the rows as themselves, and once more as their partners, by share."""
    return sum(task.weight(part) for part in _parts(batch))


def mixed_loss(task: Task, outputs: Outputs, batch: Batch) -> Tensor:
    """The weighted sum of the losses of the rows as themselves, and once more as their partners, by share."""
    return torch.stack([task.loss(outputs, part) for part in _parts(batch)]).sum()


def _parts(batch: Batch) -> list[Batch]:
    if batch.mix is None:
        return [batch]
    targets, share = batch.mix
    own = replace(batch, weight=batch.weight * (1 - share))
    return [own, replace(batch, targets=targets, weight=batch.weight * share)]

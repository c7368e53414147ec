"""Modality dropout: training rows lose whole modalities at random, so that the model learns to do without.

ModDrop, Neverova et al. 2016, https://arxiv.org/abs/1501.00102: each modality of a row is kept with probability 1 - p.
Differs: a row never loses all. What is dropped is absent: it takes the path of a cell that was blank.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from mmtrain.contracts import Batch
from mmtrain.seeding import generator


def drop(batch: Batch, rate: float) -> Batch:
    """The batch, on the CPU, with modalities masked; equal `keys` lose the same ones.

    Args:
        batch: As it was collated.
        rate: Probability that a row loses a modality. Where it would lose all it has, one of them stays.
    """
    names = list(batch.signals)
    if rate == 0 or len(names) == 1:
        return batch
    present = torch.stack([batch.signals[name].mask.any(dim=1) for name in names], dim=1)  # [B,M]
    kept = present & keep(batch.keys, present, rate)
    signals = {
        name: signal._replace(mask=signal.mask & kept[:, index : index + 1])
        for index, (name, signal) in enumerate(batch.signals.items())
    }
    rows = {name: None if kept[:, i].all() else kept[:, i].nonzero().squeeze(1) for i, name in enumerate(names)}
    return replace(batch, signals=signals, rows=rows)


def keep(keys: Tensor, present: Tensor, rate: float) -> Tensor:
    """Which modalities stay: keys [B], present [B,M] -> [B,M]; of each row at least the one with the highest draw."""
    draws = torch.stack(
        [torch.rand(present.shape[1], generator=generator(key, "modality dropout")) for key in keys.tolist()]
    )  # [B,M]
    highest = torch.where(present, draws, -1).amax(dim=1, keepdim=True)  # [B,1]
    return (draws >= rate) | (draws == highest)

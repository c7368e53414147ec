"""Unimodal heads: beside the joint one, each modality answers by itself, from its vector before any exchange.

L = L_joint + λ sum_m L_m keeps an encoder learning that the joint head would do without (the uniform baseline of
MMPareto, Wei and Hu 2024, https://arxiv.org/abs/2405.17730). The heads say what each modality knows by itself, and
their mean logits are an ensemble.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from mmtrain.contracts import Batch
from mmtrain.mixture import mixed_loss
from mmtrain.protocols import Logits, Task


class Tally(NamedTuple):
    """What the heads make of some rows; each [M], in the order of the modalities."""

    loss: Tensor  # weighted sums of the losses, with gradient
    likelihood: Tensor  # weighted sums of the probability of the truth
    weight: Tensor  # the weights of the rows that have both the modality and a target


def tally(task: Task, answers: Mapping[str, Tensor], batch: Batch) -> Tally:
    """Losses and likelihoods of the heads' answers [B,...]; a row counts for the modalities that it has."""
    assert isinstance(task, Logits)  # `build` refuses heads for others
    losses: list[Tensor] = []
    likelihoods: list[Tensor] = []
    weights: list[Tensor] = []
    for name, outputs in answers.items():
        present = batch.signals[name].mask.any(dim=1)  # [B]
        losses.append(mixed_loss(task, outputs, replace(batch, weight=batch.weight * present)))
        known = torch.stack([batch.targets[target].mask for target in task.targets]).all(dim=0)
        counted = batch.weight * present * known  # [B]
        likelihood = task.likelihood(outputs.detach(), batch)
        likelihoods.append(torch.where(counted > 0, likelihood * counted, 0).sum())
        weights.append(counted.sum())
    return Tally(torch.stack(losses), torch.stack(likelihoods), torch.stack(weights))

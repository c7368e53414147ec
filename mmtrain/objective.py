"""What a training step minimises, and what it does to the gradients before they are used: the techniques' two hooks."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from mmtrain.contracts import Batch, Outputs
from mmtrain.device import Compute
from mmtrain.mixture import mixed_loss
from mmtrain.model import Answers, MultimodalModel
from mmtrain.peers import Peers
from mmtrain.protocols import Task
from mmtrain.seeding import seed_step
from mmtrain.settings import TechniqueSettings
from mmtrain.techniques.alignment import contrast
from mmtrain.techniques.gradient_blending import Blending
from mmtrain.techniques.mmpareto import combine
from mmtrain.techniques.ogm_ge import coefficients, modulate
from mmtrain.techniques.unimodal import Tally, tally


class Terms(NamedTuple):
    """What the objective makes of a batch."""

    loss: Tensor  # what is minimised: a weighted sum over the rows
    outputs: Outputs  # the answer of the joint head
    unimodal: Tally | None


class Objective(nn.Module):
    """The loss of the task, and the losses that techniques add to it: Batch -> Terms.

    Wrapped for several processes in the model's place, so that all of these gradients are exchanged.

    Args:
        model: What answers.
        task: Gives the losses of the answers.
        compute: Device and precision.
        settings: Which techniques are on.
        blending: The weights of the joint head and of the others, in place of 1 and `unimodal_weight`.
    """

    def __init__(
        self,
        model: MultimodalModel,
        task: Task,
        compute: Compute,
        settings: TechniqueSettings,
        blending: Blending | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.task, self.compute, self.settings, self.blending = task, compute, settings, blending

    def forward(self, batch: Batch, *, alone: bool = False) -> Terms:
        """Returns the weighted sum of all losses of the batch; `alone`: without that of the joint head."""
        if not self.model.unimodal and not self.settings.alignment:
            with self.compute.autocast():
                outputs = self.model(batch)
            return Terms(mixed_loss(self.task, outputs, batch), outputs, None)
        with self.compute.autocast():
            answers: Answers = self.model(batch, whole=True)
        outputs, heads = answers.outputs, None
        if alone:  # several processes wait for gradients of whatever the answer still depends on
            loss, outputs = batch.weight.new_zeros(()), cast(Tensor, outputs).detach()
        else:
            loss = mixed_loss(self.task, outputs, batch)
        if answers.unimodal:
            heads = tally(self.task, answers.unimodal, batch)
            if self.blending is None:
                loss = loss + self.settings.unimodal_weight * heads.loss.sum()
            else:
                joint, *own = self.blending.weights
                loss = joint * loss + torch.stack([w * one for w, one in zip(own, heads.loss, strict=True)]).sum()
        if self.settings.alignment:
            presence = {name: signal.mask.any(dim=1) for name, signal in batch.signals.items()}
            tau, vectors = self.settings.alignment_temperature, answers.fused.by_modality
            loss = loss + self.settings.alignment * contrast(vectors, presence, batch.weight, tau)
        return Terms(loss, outputs, heads)


class Balance:
    """One step's account of its modalities: their heads' losses, and the gradients of their encoders.

    Args:
        model: Its parameters' gradients are what is changed.
        settings: Which techniques are on.
        peers: The processes of the run, whose rows count together.
        scaler: What scales the losses under fp16.
    """

    def __init__(
        self,
        model: MultimodalModel,
        settings: TechniqueSettings,
        peers: Peers,
        scaler: torch.amp.GradScaler | None,
    ) -> None:
        self.settings, self.peers, self.scaler = settings, peers, scaler
        self.branches = model.branches()
        self._tallies: list[Tally] = []
        self._own: dict[str, list[Tensor]] = {}  # gradients of the unimodal losses, where MMPareto needs them apart

    def backward(self, terms: Terms, weight: float) -> Tensor:
        """Computes the gradients of a part of the step, whose rows all together weigh `weight`; returns its loss."""
        mean = terms.loss / max(weight, 1e-12)
        if terms.unimodal is not None:
            self._tallies.append(Tally(*(values.detach() for values in terms.unimodal)))
            if self.settings.mmpareto:
                own = self.settings.unimodal_weight * terms.unimodal.loss.sum() / max(weight, 1e-12)
                self._keep_apart(self._scaled(own))
        torch.autograd.backward(self._scaled(mean))
        return mean.detach()

    def adjust(self, seed: int, step: int, *, watch: bool) -> dict[str, float]:
        """Changes the gradients of a whole step, unscaled and none missing, before they are clipped and used.

        Args:
            seed: Of the run.
            step: Of the run; the noise of OGM-GE is the same on every process.
            watch: Whether to return numbers to be logged.

        Returns:
            `grad_norm_<modality>` before any change; with unimodal heads also `loss_<modality>` and
            `likelihood_<modality>`.
        """
        told: dict[str, float] = {}
        if watch and len(self.branches) > 1:
            norms = [nn.utils.get_total_norm([_gradient(p) for p in part]) for part in self.branches.values()]
            told |= zip((f"grad_norm_{n}" for n in self.branches), torch.stack(norms).tolist(), strict=True)
        self._agree()
        if not self._tallies or not (watch or self.settings.ogm_ge):
            return told
        totals = torch.stack([torch.stack(tuple(one)) for one in self._tallies]).sum(dim=0)  # [3,M]
        sums, count = self.peers.sum(totals.flatten().tolist()), len(self.branches)
        weights = [max(weight, 1e-12) for weight in sums[2 * count :]]
        losses = [value / weight for value, weight in zip(sums[:count], weights, strict=True)]
        scores = [value / weight for value, weight in zip(sums[count : 2 * count], weights, strict=True)]
        if self.settings.ogm_ge:
            seed_step(totals.device, seed, step, "ogm_ge")
            for part, k in zip(self.branches.values(), coefficients(scores, self.settings.ogm_ge), strict=True):
                modulate(map(_gradient, part), k)
        told |= zip((f"loss_{name}" for name in self.branches), losses, strict=True)
        told |= zip((f"likelihood_{name}" for name in self.branches), scores, strict=True)
        return told

    def _scaled(self, loss: Tensor) -> Tensor:
        whole = loss * self.peers.size  # DistributedDataParallel averages; we want the sum
        return whole if self.scaler is None else self.scaler.scale(whole)

    def _keep_apart(self, loss: Tensor) -> None:
        """Adds the gradients of the unimodal losses to those of the parts before."""
        parameters = [parameter for part in self.branches.values() for parameter in part]
        found = iter(torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True))
        for name, part in self.branches.items():
            new = [torch.zeros_like(p) if (g := next(found)) is None else g for p in part]
            before = self._own.get(name)
            self._own[name] = new if before is None else [a + b for a, b in zip(before, new, strict=True)]

    def _agree(self) -> None:
        """Replaces each encoder's gradient by what MMPareto makes of its joint and its own part."""
        scale = self.scaler.get_scale() if self.scaler is not None and self._own else 1.0
        for name, scaled in self._own.items():
            own = [part / scale for part in scaled]
            self.peers.average(own)
            joint = [_gradient(p) - part for p, part in zip(self.branches[name], own, strict=True)]
            for parameter, made in zip(self.branches[name], combine(joint, own, self.settings.mmpareto), strict=True):
                parameter.grad = made


def _gradient(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None  # missing ones have been filled with zeros
    return parameter.grad

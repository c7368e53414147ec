"""Parameter groups, learning-rate schedules and the moving average of the weights.

A schedule is a pure function of the step, so that nothing of it needs to be saved or restored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Protocol

import torch
from torch import nn

from mmtrain.contracts import Range

Warmup = Annotated[float, Range(0, 1)]


Rate = Annotated[float, Range(0, above=True)]
Decay = Annotated[float, Range(0)]


def adamw(
    groups: list[dict[str, object]],
    *,
    lr: Rate = 1e-3,
    betas: Sequence[Annotated[float, Range(0, 1)]] = (0.9, 0.999),
    weight_decay: Decay = 0.01,
) -> torch.optim.Optimizer:
    """AdamW of torch: Adam with decoupled weight decay."""
    return torch.optim.AdamW(groups, lr=lr, betas=(betas[0], betas[1]), weight_decay=weight_decay)


def sgd(
    groups: list[dict[str, object]],
    *,
    lr: Rate = 0.05,
    momentum: Annotated[float, Range(0, 1)] = 0.9,
    nesterov: bool = True,
    weight_decay: Decay = 1e-4,
) -> torch.optim.Optimizer:
    """SGD of torch, with momentum."""
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)


class Schedule(Protocol):
    """Built as factory(total_steps: int). `open_ended`: the multiplier of a step does not depend on the total."""

    open_ended: bool

    def __call__(self, step: int) -> float: ...


class Cosine:
    """Half a cosine from 1 down to `final`, after a linear warm-up.

    Args:
        total_steps: Optimizer steps of the whole run.
        warmup: The share of `total_steps` in which the rate rises from 0.
        final: The multiplier at the last step.
    """

    open_ended = False

    def __init__(self, total_steps: int, *, warmup: Warmup = 0.05, final: Annotated[float, Range(0, 1)] = 0.0) -> None:
        self.total_steps, self.warmup_steps, self.final = total_steps, round(warmup * total_steps), final

    def __call__(self, step: int) -> float:
        done = _share_done(step, self.total_steps, self.warmup_steps)
        fall = 0.5 * (1 + math.cos(math.pi * done))
        return self.final + (1 - self.final) * fall if step >= self.warmup_steps else (step + 1) / self.warmup_steps


class Linear:
    """A straight line from 1 down to `final`, after a linear warm-up; the arguments are those of `Cosine`."""

    open_ended = False

    def __init__(self, total_steps: int, *, warmup: Warmup = 0.05, final: Annotated[float, Range(0, 1)] = 0.0) -> None:
        self.total_steps, self.warmup_steps, self.final = total_steps, round(warmup * total_steps), final

    def __call__(self, step: int) -> float:
        done = _share_done(step, self.total_steps, self.warmup_steps)
        return 1 - (1 - self.final) * done if step >= self.warmup_steps else (step + 1) / self.warmup_steps


def _share_done(step: int, total_steps: int, warmup_steps: int) -> float:
    """How much of the steps after the warm-up is done, 0 to 1."""
    return min(1.0, max(0, step - warmup_steps) / max(1, total_steps - warmup_steps))


class Constant:
    """The full rate from the first step, or after `warmup_steps` steps; a run under it may be made longer later."""

    open_ended = True

    def __init__(self, total_steps: int, *, warmup_steps: Annotated[int, Range(0)] = 0) -> None:
        self.warmup_steps = warmup_steps

    def __call__(self, step: int) -> float:
        return min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0


def parameter_groups(
    model: nn.Module, *, rates: Mapping[int, float] | None = None, later: Collection[int] = ()
) -> list[dict[str, object]]:
    """Matrices and filters, which decay, and biases, norms and single vectors, which do not; apart by their rates.

    Args:
        model: Whose parameters they are.
        rates: What the learning rate of a parameter is multiplied by, by its id, where that is not 1.
        later: Ids of parameters that do not train yet.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad or id(parameter) in later:
            key = (rates or {}).get(id(parameter), 1.0), parameter.dim() <= 1
            groups.setdefault(key, []).append(parameter)
    return [
        {"params": found, "multiplier": rate, **({"weight_decay": 0.0} if plain else {})}
        for (rate, plain), found in sorted(groups.items(), key=lambda group: group[0])
    ]


def fill_gradients(model: nn.Module) -> None:
    """Gives parameters that this step did not touch a zero gradient.

    AdamW skips a parameter without a gradient but decays and moves one with zeros. Which of both would otherwise
    depend on how rows fall into batches and processes.
    """
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)


def exponential(decay: float) -> Callable[[int], float]:
    """What a moving average keeps of itself at its n-th update, n from 1 (Polyak averaging).

    `decay` is reached slowly, as min(decay, (1 + n) / (10 + n)), so that the random start is forgotten.
    """
    return lambda n: min(decay, (1 + n) / (10 + n))


def equal(after: int) -> Callable[[int], float]:
    """Of an average in which all steps after so many count alike, and that is the weights themselves until then.

    SWA, Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization",
    https://arxiv.org/abs/1803.05407. Differs: every step counts, where the paper takes the end of each epoch or cycle;
    statistics of BatchNorm are averaged too, where it computes them anew.
    """
    return lambda n: max(0, n - after - 1) / max(1, n - after)


class MovingAverage:
    """An average of all weights and buffers over the steps.

    Args:
        model: Whose they are.
        keep: How much of itself the average keeps at its n-th update, 0 to 1.
    """

    def __init__(self, model: nn.Module, keep: Callable[[int], float]) -> None:
        self.keep, self.updates = keep, 0
        self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Moves the average towards the model's weights; counters and other integers are copied."""
        self.updates += 1
        keep = self.keep(self.updates)
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                self.weights[name].lerp_(tensor, 1 - keep)
            else:
                self.weights[name].copy_(tensor)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Inside, the model has the averaged weights."""
        own = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        model.load_state_dict(self.weights)
        try:
            yield
        finally:
            model.load_state_dict(own)

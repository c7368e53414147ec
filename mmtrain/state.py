"""All of a run that changes while it trains: what is not in here is not saved, and must not need to be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields

import torch
from torch import Tensor, nn

from mmtrain.errors import CheckpointError
from mmtrain.optim import MovingAverage
from mmtrain.protocols import Calibrated
from mmtrain.techniques.gradient_blending import Blending

Plain = Mapping[str, object]
"""Values that JSON holds exactly: numbers, strings, None, and lists and mappings of them."""


@dataclass
class Progress:
    """How far the run is.

    Args:
        step: Optimizer steps done.
        epoch: Epochs completed.
        batch: Global batches done in the epoch under way.
        best: The best validation metric so far, and the step it was reached at.
        evaluated: The step of the last evaluation; one that was interrupted is made again after a resume.
        stale: Evaluations since the best one.
        bad_steps: Steps in a row that were left out for a non-finite loss or gradient.
        top: The best evaluations so far, step and value of each, the best first: the checkpoints that are kept.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best: float | None = None
    best_step: int | None = None
    evaluated: int = -1
    stale: int = 0
    bad_steps: int = 0
    top: list[tuple[int, float]] = field(default_factory=list)

    def note(self, value: float, *, higher_is_better: bool, keep: int, patient: bool) -> None:
        """Counts an evaluation of this step: the best of it, the `keep` best, and how many were no better.

        Args:
            value: Of the metric that chooses; one that is not finite is never among the best.
            higher_is_better: Whether more of it is better.
            keep: How many of the best to remember.
            patient: Not to count it as one that was no better.
        """
        sign = 1 if higher_is_better else -1
        if math.isfinite(value):
            ranked = sorted([*self.top, (self.step, value)], key=lambda pair: -sign * pair[1])
            self.top = ranked[:keep]
        if math.isfinite(value) and (self.best is None or sign * (value - self.best) > 0):
            self.best, self.best_step, self.stale = value, self.step, 0
        elif not patient:
            self.stale += 1
        self.evaluated = self.step

    @property
    def chosen_step(self) -> int:
        """The step whose weights are used: the best, or this one where none was evaluated."""
        return self.step if self.best_step is None else self.best_step


@dataclass
class TrainState:
    """Model, optimizer and everything else that a step changes; every field travels through `tensors` and `values`."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: MovingAverage | None = None
    scaler: torch.amp.GradScaler | None = None
    progress: Progress = field(default_factory=Progress)
    calibrated: Calibrated | None = None  # the task, where validation decides some of its values
    blending: Blending | None = None  # where gradient blending weighs the losses

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """The tensors by file: `model`, `optim` (keyed by parameter name) and, where there is one, `ema`."""
        names = {id(p): name for name, p in self.model.named_parameters()}
        optim = {
            f"{names[id(parameter)]}/{key}": value
            for parameter, slots in self.optimizer.state.items()
            for key, value in slots.items()
            if isinstance(value, Tensor)
        }
        files = {"model": dict(self.model.state_dict()), "optim": optim}
        if self.average is not None:
            files["ema"] = dict(self.average.weights)
        return files

    def values(self) -> dict[str, object]:
        """Everything that is not a tensor, as plain values."""
        return {
            "progress": asdict(self.progress),
            "average_updates": None if self.average is None else self.average.updates,
            "scaler": None if self.scaler is None else self.scaler.state_dict(),
            "blending": None if self.blending is None else asdict(self.blending),
            "calibration": None if self.calibrated is None else self.calibrated.calibration(),
        }

    def load(self, tensors: Mapping[str, Mapping[str, Tensor]], values: Plain) -> None:
        """Takes the state of a checkpoint.

        Raises:
            CheckpointError: A name or shape of the checkpoint is not that of this run.
        """
        load_weights(self.model, tensors["model"])
        self._load_optimizer(tensors["optim"])
        if self.average is not None:
            if "ema" not in tensors:
                raise CheckpointError("no ema.safetensors, but `trainer.ema_decay` or `trainer.swa_from` is set.")
            self.average.weights = {n: t.to(self.average.weights[n].device) for n, t in tensors["ema"].items()}
            self.average.updates = _integer(values, "average_updates")
        scaler = values.get("scaler")
        if self.scaler is not None and isinstance(scaler, dict):
            self.scaler.load_state_dict(scaler)
        restore_calibration(self.calibrated, values)
        if self.blending is not None:
            _restore_blending(self.blending, values)
        progress = values.get("progress")
        known = {f.name for f in fields(Progress)}
        if not isinstance(progress, dict) or set(progress) != known:
            raise CheckpointError(f"state.json: `progress` has not the fields {', '.join(sorted(known))}.")
        self.progress = Progress(**progress)
        self.progress.top = [(int(step), float(value)) for step, value in self.progress.top]

    def _load_optimizer(self, tensors: Mapping[str, Tensor]) -> None:
        names = {id(p): name for name, p in self.model.named_parameters()}
        state = self.optimizer.state_dict()
        ordered = [p for group in self.optimizer.param_groups for p in group["params"]]
        slots: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            name, _, slot = key.rpartition("/")
            slots.setdefault(name, {})[slot] = value
        unknown = sorted(set(slots) - {names[id(p)] for p in ordered})
        if unknown:
            raise CheckpointError(f"optim.safetensors holds `{unknown[0]}`, which this model does not train.")
        state["state"] = {i: slots[names[id(p)]] for i, p in enumerate(ordered) if names[id(p)] in slots}
        self.optimizer.load_state_dict(state)


def weights_of(tensors: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
    """Of a checkpoint's tensors the weights that count: the soup, else the average over steps, else the model's."""
    return next(tensors[name] for name in ("soup", "ema", "model") if name in tensors)


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copies saved weights into the model.

    Raises:
        CheckpointError: A tensor is missing, unknown, or of another shape; the message names it and both shapes.
    """
    own = model.state_dict()
    for name in sorted(own.keys() | tensors.keys()):
        if name not in tensors or name not in own:
            side = "the checkpoint lacks" if name in own else "the checkpoint has, and this model lacks,"
            raise CheckpointError(f"{side} the tensor `{name}`; it was made by another model or mmtrain version.")
        if own[name].shape != tensors[name].shape:
            raise CheckpointError(
                f"`{name}` is {list(tensors[name].shape)} in the checkpoint but {list(own[name].shape)} in this model;"
                " has the run's config.yaml been changed?"
            )
    model.load_state_dict(dict(tensors))


def restore_calibration(task: object, values: Plain) -> None:
    """Gives a task what the validation rows had decided when the checkpoint was saved; nothing to one without such.

    Raises:
        CheckpointError: It is not what the task would have saved.
    """
    if not isinstance(task, Calibrated):
        return
    found = values.get("calibration")
    try:
        if not isinstance(found, dict) or not all(map(_numbers, found.values())):
            raise ValueError("it must hold lists of finite numbers, by name")
        task.restore(found)
    except ValueError as error:
        raise CheckpointError(f"state.json: `calibration` does not fit the task: {error}.") from None


def _restore_blending(blending: Blending, values: Plain) -> None:
    found = values.get("blending")
    try:
        if not isinstance(found, dict):
            raise ValueError("it is missing")
        blending.restore(found)
    except ValueError as error:
        raise CheckpointError(f"state.json: `blending` does not fit the run: {error}.") from None


def _numbers(value: object) -> bool:
    return isinstance(value, list) and all(type(n) in (int, float) and math.isfinite(n) for n in value)


def _integer(values: Plain, name: str) -> int:
    value = values.get(name)
    if not isinstance(value, int):
        raise CheckpointError(f"state.json: `{name}` is {value!r}, not a whole number.")
    return value

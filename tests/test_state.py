"""Everything that a step changes travels through a checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import fields

import pytest
import torch
from torch import nn

from mmtrain.contracts import Results
from mmtrain.errors import CheckpointError
from mmtrain.optim import MovingAverage, adamw, exponential, parameter_groups
from mmtrain.state import Progress, TrainState
from mmtrain.techniques.gradient_blending import Blending


class Tuned:
    """A task with one threshold, which is the number of results it was shown."""

    def __init__(self) -> None:
        self.threshold = 0.5

    def calibrate(self, results: Results) -> None:
        self.threshold = float(len(results.ids))

    def calibration(self) -> dict[str, list[float]]:
        return {"threshold": [self.threshold]}

    def restore(self, calibration: Mapping[str, Sequence[float]]) -> None:
        if set(calibration) != {"threshold"}:
            raise ValueError("expected `threshold`")
        (self.threshold,) = calibration["threshold"]


def trained(steps: int) -> TrainState:
    """A state after some steps of a model with weights, buffers and counters."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    state = TrainState(
        model,
        adamw(parameter_groups(model)),
        MovingAverage(model, exponential(0.9)),
        torch.amp.GradScaler("cpu", init_scale=64.0),
        calibrated=Tuned(),
        blending=Blending.start(2, 0.5),
    )
    assert state.scaler is not None
    assert state.calibrated is not None
    assert state.blending is not None
    for step in range(steps):
        data = torch.randn(5, 3, generator=torch.Generator().manual_seed(step))
        torch.autograd.backward(state.scaler.scale(model(data).square().sum()))
        state.scaler.step(state.optimizer)
        state.scaler.update(new_scale=32.0)
        state.optimizer.zero_grad()
        state.average.update(model)
        state.progress.step += 1
        state.calibrated.calibrate(Results(["a", "b"], torch.zeros(2), {}, 0.0))
        state.blending.measured(step, [3.0 - step, 3.0, 3.0], [3.0 - step / 2, 3.0 - step, 4.0])
    return state


def flat(state: TrainState) -> dict[str, object]:
    tensors = {f"{file}/{name}": t.clone() for file, part in state.tensors().items() for name, t in part.items()}
    return {**tensors, **copy.deepcopy(state.values())}


def test_a_loaded_state_is_the_saved_one_and_goes_on_like_it() -> None:
    """After loading three steps into a fresh state, a fourth step of both gives equal tensors and values."""
    saved, fresh = trained(3), trained(0)
    files = {name: {n: t.clone() for n, t in part.items()} for name, part in saved.tensors().items()}
    fresh.load(files, copy.deepcopy(saved.values()))

    one, other = flat(saved), flat(fresh)
    assert one.keys() == other.keys()
    for name, value in one.items():
        same = torch.equal(value, other[name]) if isinstance(value, torch.Tensor) else value == other[name]
        assert same, name


def test_every_field_of_the_state_is_saved() -> None:
    """A part that is added to the state without a way into the checkpoint fails here."""
    state = trained(2)
    files, values = state.tensors(), state.values()
    carried = {
        "model": files["model"],
        "optimizer": files["optim"],
        "average": (files["ema"], values["average_updates"]),
        "scaler": values["scaler"],
        "progress": values["progress"],
        "calibrated": values["calibration"],
        "blending": values["blending"],
    }

    assert {field.name for field in fields(TrainState)} == set(carried)
    assert all(carried.values())
    assert set(values["progress"]) == {field.name for field in fields(Progress)}


def test_weights_of_another_shape_are_named_with_both_shapes() -> None:
    """The message says which tensor, what it is here and what it is there."""
    saved, other = trained(1), trained(0)
    tensors = saved.tensors()
    tensors["model"]["0.weight"] = torch.zeros(7, 3)

    with pytest.raises(CheckpointError, match=r"`0\.weight` is \[7, 3\] in the checkpoint but \[4, 3\]"):
        other.load(tensors, saved.values())


@pytest.mark.parametrize(
    ("calibration", "message"),
    [(None, "lists of finite numbers"), ({"threshold": [float("nan")]}, "finite"), ({"other": [1.0]}, "expected `thr")],
)
def test_what_no_validation_can_have_decided_is_refused(calibration: object, message: str) -> None:
    """The checkpoint may come from a stranger."""
    saved, other = trained(1), trained(0)

    with pytest.raises(CheckpointError, match=message):
        other.load(saved.tensors(), saved.values() | {"calibration": calibration})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": [0.5, 0.5]}, "one for each of 3 heads"),
        ({"val": [float("nan")] * 3}, "finite numbers"),
        ({"train": []}, "measured together"),
    ],
)
def test_weights_of_losses_that_no_run_can_have_are_refused(change: dict[str, object], message: str) -> None:
    """Two heads of three, a loss that is not finite, validation losses without those of training."""
    saved, other = trained(2), trained(0)
    blending = saved.values()["blending"]
    assert isinstance(blending, dict)

    with pytest.raises(CheckpointError, match=message):
        other.load(saved.tensors(), saved.values() | {"blending": blending | change})


def test_a_missing_tensor_is_named() -> None:
    """A checkpoint of a smaller model is refused."""
    saved, other = trained(1), trained(0)
    tensors = saved.tensors()
    del tensors["model"]["2.bias"]

    with pytest.raises(CheckpointError, match=r"lacks the tensor `2\.bias`"):
        other.load(tensors, saved.values())

"""The weights of an earlier run: which checkpoint counts, and encoders that start where its own have ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import cast

from torch import nn

from mmtrain import checkpoint
from mmtrain.contracts import SignalSpec
from mmtrain.data.spec_file import load_spec
from mmtrain.errors import CheckpointError, ConfigError
from mmtrain.state import weights_of
from mmtrain.suggest import did_you_mean


def chosen(folder: Path, which: str) -> tuple[checkpoint.Checkpoint, list[str]]:
    """The checkpoint that a word names, verified, and why newer ones were passed over.

    Args:
        folder: Of the checkpoints.
        which: `best` (by validation), `last`, or the number of a step.

    Raises:
        CheckpointError: It does not verify, or there is none.
    """
    if which.isdigit():
        return checkpoint.at_step(folder, int(which)), []
    saved, faults = checkpoint.newest(folder)
    progress = cast(Mapping[str, int | None], saved.values["progress"])
    best = progress["best_step"]
    if which == "best" and best is not None and best != saved.step:
        try:
            saved = checkpoint.at_step(folder, best)
        except CheckpointError as error:
            raise CheckpointError(f"the best checkpoint is unusable: {error} Try checkpoint=last.") from None
    return saved, faults


def start_encoders(
    encoders: Mapping[str, nn.Module], signals: Mapping[str, SignalSpec], runs: Mapping[str, str]
) -> None:
    """Gives encoders the best weights that the encoders of the same modalities have in other runs.

    Args:
        encoders: By modality, as built; nothing is frozen or added yet.
        signals: What they read.
        runs: The folder of a run by modality.

    Raises:
        ConfigError: A modality that there is not, a folder that is no run, or whose run lacks the modality, prepared it
            otherwise or has another encoder for it; the message names the key.
    """
    for name, value in runs.items():
        where, folder = f"`tuning.init_from.{name}` (={value})", Path(value)
        if name not in encoders:
            raise ConfigError(f"{where}: expected one of {', '.join(encoders)}.{did_you_mean(name, encoders)}")
        if not (folder / "config.yaml").is_file():
            raise ConfigError(f"{where} is not a run folder: it has no config.yaml.")
        try:
            there = load_spec(folder).signals
            saved, _ = chosen(folder / "checkpoints", "best")
        except CheckpointError as error:
            raise ConfigError(f"{where}: {error}") from None
        if name not in there:
            raise ConfigError(f"{where}: that run was trained on {', '.join(there)}, not on {name}.")
        if other := _unlike(there[name], signals[name]):
            raise ConfigError(
                f"{where}: that run prepared {name} with another {', '.join(other)}; use the same reader and rows."
            )
        prefix = f"encoders.{name}."
        found = {key.removeprefix(prefix): t for key, t in weights_of(saved.tensors).items() if key.startswith(prefix)}
        own = {key: tensor.shape for key, tensor in encoders[name].state_dict().items()}
        if own != {key: tensor.shape for key, tensor in found.items()}:
            raise ConfigError(f"{where}: the encoder of that run is another network; choose it by `encoder/...=`.")
        encoders[name].load_state_dict(found)


def _unlike(one: SignalSpec, other: SignalSpec) -> list[str]:
    """The facts in which two signals differ."""
    names = [field.name for field in fields(SignalSpec)]
    return [name for name in names if getattr(one, name) != getattr(other, name)]

"""The smallest real run: the built-in data, small encoders, a few steps."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from mmtrain import compose, training
from mmtrain.record import read_rows

TINY = (
    "dataset.train_rows=72",
    "dataset.val_rows=72",
    "dataset.test_rows=72",
    "encoder/text=bag_of_words",
    "encoder.image.channels=[4,8]",
    "width=16",
    "trainer.batch_size=20",
    "trainer.epochs=2",
    "trainer.tensorboard=false",
    "trainer.log_every_steps=1",
    "determinism=strict",
    "num_threads=1",
)
"""Four steps an epoch: the last batch has 12 rows."""


def config(tmp_path: Path, *overrides: str) -> dict[str, object]:
    """The tiny run's config with overrides; runs go below `tmp_path`."""
    return {**copy.deepcopy(_composed(overrides)), "output_dir": f"{tmp_path}/outputs"}


@cache
def _composed(overrides: tuple[str, ...]) -> dict[str, object]:
    other = any(option.startswith("encoder/image=") for option in overrides)
    own = [option for option in TINY if not (other and option.startswith("encoder.image."))]
    return compose.compose([*own, *overrides])


def train(tmp_path: Path, *overrides: str) -> Path:
    """Trains the tiny run."""
    return training.start(config(tmp_path, *overrides), overrides)


def rows(folder: Path) -> list[dict[str, object]]:
    """The rows of metrics.jsonl, less what differs between two equal runs."""
    return [{k: v for k, v in row.items() if k != "samples_per_second"} for row in read_rows(folder)]


def weights(folder: Path, step: int) -> dict[str, Tensor]:
    """All tensors of a checkpoint, by file and name."""
    files = sorted((folder / "checkpoints" / f"step_{step:08d}").glob("*.safetensors"))
    return {f"{file.stem}/{name}": tensor for file in files for name, tensor in load_file(file).items()}


def assert_same_end(one: Path, other: Path, step: int) -> None:
    """Weights, optimizer, counters and measured numbers of two runs are equal to the bit."""
    first, second = weights(one, step), weights(other, step)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    states = [json.loads((f / "checkpoints" / f"step_{step:08d}" / "state.json").read_text()) for f in (one, other)]
    assert states[0] == states[1]
    assert rows(one) == rows(other)

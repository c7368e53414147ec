"""The cells of a study: one training each, known by a hash of all that can change its result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path

from mmtrain import compose
from mmtrain.components import Config, node
from mmtrain.errors import ConfigError
from mmtrain.study.question import ALL_SUBSETS, Question

NO_MATTER = ("name", "output_dir", "cache_dir")
NO_MATTER_TO_TRAINER = ("num_workers", "tensorboard", "keep_last", "save_every_steps", "log_every_steps")
"""Keys that cannot change a result: where and how often things are written, and who reads the rows."""

Label = tuple[tuple[str, str], ...]
"""A cell's value on each axis, `modalities` first: (("modalities", "text+image"), ("fusion", "sum"))."""


@dataclass(frozen=True)
class Cell:
    """One training of a study.

    Args:
        identity: The hash of what changes its result.
        label: Its values on the axes; cells of one label differ in their seeds only.
        seed: Of the run.
        config: As `mmtrain.training.start` takes it.
        typed: The command line of training that stands for it.
    """

    identity: str
    label: Label
    seed: int
    config: Config
    typed: Sequence[str]

    def __str__(self) -> str:
        return f"{words(self.label)} seed={self.seed}"


@dataclass(frozen=True)
class Grid:
    """All cells, in the order of the table, and what they are held against."""

    cells: Sequence[Cell]
    reference: Label
    modalities: Sequence[str]

    @property
    def labels(self) -> list[Label]:
        """Each once."""
        return list(dict.fromkeys(cell.label for cell in self.cells))


def words(label: Label) -> str:
    """A label for people: `text+image fusion=sum`."""
    return " ".join(value if axis == "modalities" else f"{axis}={value}" for axis, value in label)


def base_config(question: Question) -> Config:
    """The config with the first value of every axis and all modalities: its data are those of the study."""
    first = [f"{axis}={values[0]}" for axis, values in question.axes.items() if axis != "modalities"]
    return compose.compose([*question.overrides, *first], question.config_dir)


def grid(question: Question, known: Sequence[str]) -> Grid:
    """The cells: the product of the axes and the seeds, then a run of each modality alone where none is among them.

    Args:
        question: The study.
        known: The modalities of the data, in its order.

    Raises:
        ConfigError: The cells cannot be compared, or there is no cell for the reference.
    """
    subsets = list(_subsets(question, known))
    axes = {axis: list(values) for axis, values in question.axes.items() if axis != "modalities"}
    combined = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    wanted = [(subset, choice) for choice in combined for subset in subsets]
    chosen = {axis: question.settings.reference.get(axis, values[0]) for axis, values in axes.items()}
    whole = max(subsets, key=len)
    whole = tuple(question.settings.reference.get("modalities", "+".join(whole)).split("+"))
    if (whole, chosen) not in wanted:
        listed = ", ".join("+".join(subset) for subset in subsets)
        raise ConfigError(f"`reference`: no cell with modalities {'+'.join(whole)}; there is {listed}.")
    alone = [((name,), chosen) for name in max(subsets, key=len)]
    wanted += [one for one in alone if one not in wanted]
    cells = []
    for subset, choice in wanted:
        label: Label = (("modalities", "+".join(subset)), *choice.items())
        for seed in range(question.settings.seeds):
            cells.append(_cell(question, label, subset, seed, absent={*known} - {*subset}))
    _refuse_unlike(cells)
    return Grid(cells, (("modalities", "+".join(whole)), *chosen.items()), known)


def _subsets(question: Question, known: Sequence[str]) -> Iterator[tuple[str, ...]]:
    values = question.axes.get("modalities")
    if values is None:
        yield tuple(known)
    elif list(values) == [ALL_SUBSETS]:
        for size in range(1, len(known) + 1):
            yield from combinations(known, size)
    else:
        for value in values:
            names = [name.strip(" '\"") for name in value.strip("[] ").split(",")]
            strangers = [name for name in names if name not in known]
            if strangers:
                raise ConfigError(f"`modalities`: no '{strangers[0]}' in the data; it has {', '.join(known)}.")
            yield tuple(sorted(names, key=list(known).index))


def _cell(question: Question, label: Label, subset: Sequence[str], seed: int, *, absent: Collection[str]) -> Cell:
    typed = [f"{axis}={value}" for axis, value in label if axis != "modalities"]
    # One thread, unless the user asks for more: the workers share the cores, and results repeat to the bit.
    threads = [] if any(text.startswith("num_threads=") for text in question.overrides) else ["num_threads=1"]
    lines = [*question.overrides, *typed, *threads, f"modalities=[{','.join(subset)}]", f"seed={seed}"]
    config = compose.compose(lines, question.config_dir)
    config["tuning"] = {key: _without(value, absent) for key, value in node(config, "tuning").items()}
    identity = identify(config)
    trainer = {**node(config, "trainer"), "tensorboard": False}
    own = {"name": identity, "output_dir": str(question.folder / "cells"), "trainer": trainer}
    return Cell(identity, label, seed, {**config, **own}, lines)


def _without(tuned: object, absent: Collection[str]) -> object:
    """A setting of `tuning` less what it says of modalities that a cell does not have."""
    if not isinstance(tuned, dict):
        return tuned
    return {name: value for name, value in tuned.items() if name not in absent} or None


def identify(config: Config) -> str:
    """16 hex digits of SHA-256 over the config, less the keys that cannot change a result."""
    kept: dict[str, object] = {name: value for name, value in config.items() if name not in NO_MATTER}
    trainer = node(config, "trainer")
    kept["trainer"] = {name: value for name, value in trainer.items() if name not in NO_MATTER_TO_TRAINER}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def _refuse_unlike(cells: Sequence[Cell]) -> None:
    """Refuses cells whose scores do not answer the same question about the same rows."""
    first = cells[0]
    for cell in cells:
        if cell.config["dataset"] != first.config["dataset"]:
            raise ConfigError(f"`dataset` differs between {first} and {cell}; a study compares on the same rows.")
        one, other = node(first.config, "task"), node(cell.config, "task")
        for key in ("_target_", "target", "metric"):
            if one.get(key) != other.get(key):
                raise ConfigError(
                    f"`task.{key}` is {one.get(key)} in {first} and {other.get(key)} in {cell}: their scores cannot "
                    "be compared; study one task at a time."
                )


def folder_of(folder: Path, identity: str) -> Path | None:
    """The newest run folder of a cell."""
    return max((folder / "cells" / identity).glob("*/"), default=None)

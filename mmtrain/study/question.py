"""What a study asks: its axes and how it is run, from a named YAML file and the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated

import yaml

from mmtrain import check, compose
from mmtrain.contracts import Range
from mmtrain.errors import ConfigError
from mmtrain.signatures import accepts, arguments, described
from mmtrain.suggest import did_you_mean

ALL_SUBSETS = "all_subsets"


@dataclass(frozen=True)
class StudySettings:
    """`configs/study/*.yaml`; the comments there say what each key means to a user."""

    axes: dict[str, list[str] | str] = field(default_factory=dict)
    seeds: Annotated[int, Range(1)] = 5
    reference: dict[str, str] = field(default_factory=dict)
    group: str | None = None
    confidence: Annotated[float, Range(0, 1, above=True)] | None = 0.95
    jobs: Annotated[int, Range(0, 256)] = 2
    fail_fast: bool = False
    keep_weights: bool = False


@dataclass(frozen=True)
class Question:
    """One study.

    Args:
        name: Of its folder.
        settings: The file's, with what was typed in their place.
        axes: The values of each axis, as typed on a command line of training.
        overrides: What holds for every cell.
        folder: Where all of it lies.
        config_dir: The user's own folder of options.
        dry_run: Whether to list the cells only.
    """

    name: str
    settings: StudySettings
    axes: Mapping[str, Sequence[str]]
    overrides: Sequence[str]
    folder: Path
    config_dir: Path | None = None
    dry_run: bool = False


OPTIONS = {
    "<axis>": "several values, fusion=concat,sum: each is trained; modalities=all_subsets: every subset of them",
    "<key>": "one value: for all cells, as for training",
    "seeds": "runs of each cell, seeds 0 to N - 1",
    "reference": "what all else is held against, {fusion: sum}; else all modalities and the first value of each axis",
    "group": "column of the table whose equal values count as one test unit",
    "confidence": "of the intervals, 0.95; null: none",
    "jobs": "cells trained at a time, each in a process of its own with one thread; 0: in this process",
    "fail_fast": "stop at the first cell that fails",
    "keep_weights": "keep the best weights of each cell",
    "dry_run": "list the cells, with the time and disk they need",
    "name": "of the study's folder; that of its file where it is not given",
    "output_dir": "where `studies/<name>` is made; outputs where it is not given",
}


def read(name: str, words: Sequence[str], config_dir: Path | None = None) -> Question:
    """The study of that name with what was typed after it.

    Raises:
        ConfigError: Every fault of the file or of the command line, one a line.
    """
    file = compose.option_file("study", name, config_dir)
    if file is None:
        known = compose.group_options("study", config_dir)
        hint = did_you_mean(name, known) or f" There is {', '.join(known)}."
        raise ConfigError(f"`{name}`: no such study.{hint}")
    settings = _settings(yaml.safe_load(file.read_text(encoding="utf-8")) or {}, str(file))
    axes = {key: _values(key, values) for key, values in settings.axes.items()}
    own: dict[str, object] = {}
    overrides: list[str] = []
    folder_keys = {"name": name, "output_dir": "outputs", "dry_run": "false"}
    for text in words:
        key, _, value = text.partition("=")
        if key in folder_keys:
            folder_keys[key] = value
        elif key in {one.name for one in fields(StudySettings)} - {"axes"}:
            own[key] = yaml.safe_load(value)
        elif key == "seed":
            raise ConfigError("`seed`: a study trains with seeds 0 to N - 1; set seeds=N.")
        elif text == f"modalities={ALL_SUBSETS}":
            axes["modalities"] = [ALL_SUBSETS]
        else:
            axis, values = check.axis(text)
            if value == "" or len(values) > 1:
                axes[axis] = [one for one in values if one]
            else:
                overrides.append(text)
                if axes.get(axis) != [ALL_SUBSETS]:  # modalities=[text,image]: then it is the subsets of these
                    axes.pop(axis, None)
    settings = _settings({**asdict(settings), **own}, "the command line")
    _refuse(settings, axes, overrides, config_dir)
    if folder_keys["dry_run"] not in ("true", "false"):
        raise ConfigError(f"`dry_run`: found {folder_keys['dry_run']!r}, expected true or false.")
    return Question(
        folder_keys["name"],
        settings,
        axes,
        overrides,
        Path(folder_keys["output_dir"]) / "studies" / folder_keys["name"],
        config_dir,
        folder_keys["dry_run"] == "true",
    )


def _refuse(
    settings: StudySettings, axes: Mapping[str, Sequence[str]], overrides: Sequence[str], config_dir: Path | None
) -> None:
    """Refuses what cannot be compared, then whatever training itself would refuse."""
    if not axes:
        raise ConfigError("nothing to compare: no axis; give one several values, such as fusion=concat,sum.")
    empty = [axis for axis, values in axes.items() if not values]
    if empty:
        raise ConfigError(f"`{empty[0]}`: an axis without a value; the grid is empty.")
    if settings.seeds == 1 and settings.confidence is not None:
        raise ConfigError(
            "`seeds=1`: no interval from one seed, since nothing tells how much a run varies by its seed; set seeds=2 "
            "or more (5 is usual), or confidence=null for a table without intervals and verdicts."
        )
    swept = [f"{axis}={','.join(values)}" for axis, values in axes.items() if list(values) != [ALL_SUBSETS]]
    if found := check.faults([*overrides, *swept], config_dir, multirun=True):
        raise ConfigError("\n".join(found))
    for axis, value in settings.reference.items():
        if axis not in axes and axis != "modalities":
            raise ConfigError(f"`reference`: no axis `{axis}`; there is {', '.join(axes)}.{did_you_mean(axis, axes)}")
        if axis != "modalities" and value not in axes[axis]:
            raise ConfigError(f"`reference`: `{axis}` has {', '.join(axes[axis])}, not {value}.")


def _values(axis: str, values: Sequence[object] | str) -> list[str]:
    """The values of an axis in a YAML file, as they would be typed."""
    if isinstance(values, str):
        return [ALL_SUBSETS] if values == ALL_SUBSETS and axis == "modalities" else [values]
    return [value if isinstance(value, str) else json.dumps(value) for value in values]


def _settings(values: Mapping[str, object], where: str) -> StudySettings:
    return StudySettings(**_checked(values, where))  # type: ignore[arg-type]  # checked against its own fields


def _checked(values: Mapping[str, object], where: str) -> Mapping[str, object]:
    known = arguments(StudySettings) or {}
    faults = [f"{where}: `{key}`: no such key.{did_you_mean(key, known)}" for key in values if key not in known]
    faults += [
        f"{where}: `{key}`: found {value!r}, expected {described(known[key].hint)}."
        for key, value in values.items()
        if key in known and key != "axes" and not accepts(known[key].hint, value)
    ]
    if faults:
        raise ConfigError("\n".join(faults))
    return values

"""Compares two run folders: did the second training give the first one's result, and if not, what explains it.

What may explain a deviation is looked at in an order in which the earlier tends to cause the later: versions, config,
content of rows, splits, machine; then the numbers of training, then the weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from mmtrain import checkpoint, contents, trust
from mmtrain.checkpoint import Checkpoint
from mmtrain.errors import CheckpointError
from mmtrain.record import read_rows

Verdict = Literal["identical", "within tolerance", "different"]
Part = Literal["versions", "config", "data", "splits", "machine", "training", "weights"]

PARTS: tuple[Part, ...] = ("versions", "config", "data", "splits", "machine", "training", "weights")
RESULTS: tuple[Part, ...] = ("training", "weights")
"""What comes out of a run; the parts before say what went into it."""
_MACHINE = ("num_threads", "processes", "device", "device_name", "precision", "platform")
_WHERE = ("name", "output_dir")  # of the config: where a run is written
_CLOCK = ("samples_per_second",)
_MOST_NAMED = 3


class Difference(NamedTuple):
    """One thing that is not as it was."""

    part: Part
    text: str


@dataclass(frozen=True)
class Comparison:
    """How the two runs compare.

    Attributes:
        differences: In the order of `PARTS`; the first is the one that explains the others best.
        verdict: Of the results alone.
        has_weights: Whether both have kept weights that could be compared; a cell of a study has not.
    """

    differences: list[Difference]
    verdict: Verdict
    has_weights: bool


class _Record(NamedTuple):
    """What a run folder tells of its run."""

    environment: Mapping[str, object]
    config: Mapping[str, object]
    fingerprint: object
    rows: Mapping[str, contents.Noted]
    measured: Mapping[tuple[object, ...], Mapping[str, object]]
    last: Checkpoint | None


def ended(folder: Path) -> bool:
    """Whether a run has come to its end."""
    return any(row["kind"] == "end" for row in read_rows(folder))


def compare(
    before: Path, now: Path, *, tolerance: float, place: Callable[[str, str], str] = lambda row, column: row
) -> Comparison:
    """Compares the run in `now` with the one in `before`.

    Args:
        before: A run that has ended.
        now: Another one, which should be the same.
        tolerance: Two numbers a, b count as close where |a - b| <= tolerance * max(1, |a|, |b|).
        place: Where the cell of a row stands, for people, from id and column.

    Raises:
        CheckpointError: A file of either folder is missing or damaged.
    """
    one, two = _record(before), _record(now)
    found = [
        *_named("versions", _versions(one), _versions(two)),
        *_named("config", _flat(_without(one.config)), _flat(_without(two.config))),
        *_data(one, two, place),
        *_splits(one, two),
        *_named("machine", _machine(one), _machine(two)),
        *_training(one, two),
        *_weights(one, two),
    ]
    equal = not any(difference.part in RESULTS for difference in found)
    verdict: Verdict = "identical" if equal else "within tolerance" if _close(one, two, tolerance) else "different"
    return Comparison(found, verdict, one.last is not None and two.last is not None)


def differences_of_config(a: Path, b: Path) -> list[tuple[str, str, str]]:
    """Key, value in `a` and value in `b` of all that differs in two runs' configs, but for where they were written."""
    one, other = (_flat(_without(trust.load(folder / "config.yaml"))) for folder in (a, b))
    return [
        (name, _shown(one, name), _shown(other, name)) for name in {**one, **other} if one.get(name) != other.get(name)
    ]


def _record(folder: Path) -> _Record:
    path = folder / "environment.json"
    try:
        environment = json.loads(path.read_text(encoding="utf-8"))
        assert isinstance(environment["packages"], dict)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}; it says what the run was made with.") from None
    except (ValueError, KeyError, TypeError, AssertionError):
        raise CheckpointError(f"{path}: not the environment of a run; it was cut off or changed.") from None
    has_weights = bool(checkpoint.steps(folder / "checkpoints"))  # a cell of a study keeps none
    last = checkpoint.newest(folder / "checkpoints")[0] if has_weights else None
    facts = last.facts if last is not None else {}
    config = facts.get("config")
    measured: dict[tuple[object, ...], Mapping[str, object]] = {
        (row["step"], row["kind"], row.get("split", ""), str(row.get("head", row.get("present", "")))): {
            name: value for name, value in row.items() if name not in _CLOCK
        }
        for row in read_rows(folder)
    }
    # The checkpoint's copy of the config is the one that was trained with, whatever config.yaml says by now.
    trained = config if isinstance(config, dict) else trust.load(folder / "config.yaml")
    return _Record(environment, trained, facts.get("data"), contents.read(folder), measured, last)


def _versions(record: _Record) -> dict[str, object]:
    packages = record.environment["packages"]
    assert isinstance(packages, dict)
    return {"python": record.environment.get("python"), **{f"package {name}": v for name, v in packages.items()}}


def _machine(record: _Record) -> dict[str, object]:
    return {name: record.environment.get(name) for name in _MACHINE}


def _without(config: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in config.items() if name not in _WHERE}


def _flat(node: object, key: str = "") -> dict[str, object]:
    """The leaves of a config by dotted key."""
    if not isinstance(node, Mapping) or not node:
        return {key: node}
    return {
        name: leaf for part, value in node.items() for name, leaf in _flat(value, f"{key}.{part}".strip(".")).items()
    }


def _named(part: Part, before: Mapping[str, object], now: Mapping[str, object]) -> Iterator[Difference]:
    for name in {**before, **now}:
        if before.get(name) != now.get(name):
            yield Difference(part, f"{name}: {_shown(before, name)} then, {_shown(now, name)} now")


def _shown(values: Mapping[str, object], name: str) -> str:
    return str(values[name]) if name in values else "not there"


def _data(one: _Record, two: _Record, place: Callable[[str, str], str]) -> Iterator[Difference]:
    gone = [name for name in one.rows if name not in two.rows]
    come = [name for name in two.rows if name not in one.rows]
    cells = list(contents.changed(one.rows, two.rows))
    if gone:
        yield Difference("data", f"{_count(gone, 'row')} gone: {_listed(gone)}")
    if come:
        yield Difference("data", f"{_count(come, 'row')} new: {_listed(come)}")
    if cells:
        named = [f"`{column}` of {place(name, column)}" for name, column in cells[:_MOST_NAMED]]
        yield Difference("data", f"{_count(cells, 'cell')} changed: {_listed(named, len(cells))}")
    moved = any(old.split != two.rows[name].split for name, old in one.rows.items() if name in two.rows)
    both = one.last is not None and two.last is not None  # checkpoints remember the fingerprint
    if both and one.fingerprint != two.fingerprint and not (gone or come or cells or moved):
        reason = "the order of rows, or media beyond those that were noted"
        yield Difference("data", f"the fingerprint is another, and no noted row or cell: {reason}")


def _splits(one: _Record, two: _Record) -> Iterator[Difference]:
    moved = [
        f"{name} ({old.split} then, {two.rows[name].split} now)"
        for name, old in one.rows.items()
        if name in two.rows and two.rows[name].split != old.split
    ]
    if moved:
        yield Difference("splits", f"{_count(moved, 'row')} moved: {_listed(moved)}")


def _training(one: _Record, two: _Record) -> Iterator[Difference]:
    """The first thing measured, in the order of metrics.jsonl, that is another number."""
    for at in {**one.measured, **two.measured}:
        step, kind, split, _ = at
        where = f"step {step} ({split or kind})"
        if at not in two.measured or at not in one.measured:
            yield Difference(
                "training", f"{where} is in {'the first' if at in one.measured else 'the second'} run only"
            )
            return
        for difference in _named("training", one.measured[at], two.measured[at]):
            yield Difference("training", f"first at {where}: {difference.text}")
            return


def _weights(one: _Record, two: _Record) -> Iterator[Difference]:
    if one.last is None or two.last is None:
        return
    if one.last.step != two.last.step:
        yield Difference("weights", f"those of step {one.last.step} then, of step {two.last.step} now")
        return
    first, second = one.last.tensors["model"], two.last.tensors["model"]
    for name in {**first, **second}:
        if name not in first or name not in second or first[name].shape != second[name].shape:
            yield Difference("weights", f"`{name}` is not in both, or of another shape")
            return
    unequal = [name for name in first if not torch.equal(first[name], second[name])]
    if unequal:
        largest = max(float((first[name].double() - second[name].double()).abs().max()) for name in unequal)
        yield Difference(
            "weights", f"{len(unequal)} of {len(first)} tensors differ, by up to {largest:.2g}; first `{unequal[0]}`"
        )


def _close(one: _Record, two: _Record, tolerance: float) -> bool:
    """Whether all measured numbers are close; of what no number is, such as the best step, nothing is asked."""
    if one.measured.keys() != two.measured.keys():
        return False
    for at, row in one.measured.items():
        for name, value in row.items():
            other = two.measured[at].get(name)
            if isinstance(value, float) != isinstance(other, float):
                return False
            if isinstance(value, float) and isinstance(other, float):
                limit = tolerance * max(1.0, abs(value), abs(other))
                if not math.isfinite(value - other) or abs(value - other) > limit:
                    return False
    return True


def _count(items: list[object] | list[str] | list[tuple[str, str]], noun: str) -> str:
    return f"{len(items):,} {noun}{'' if len(items) == 1 else 's'}"


def _listed(names: list[str], total: int | None = None) -> str:
    more = (total or len(names)) > _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (", ..." if more else "")

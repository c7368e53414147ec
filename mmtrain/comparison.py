"""Two runs beside each other: what differs in their configs, and in their scores, with intervals.

An interval is paired where it can be: over the test rows that both runs have predicted, the difference of each row is
drawn with replacement, so that rows which are hard for both do not blur it. Reads the run folders, and no data.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmtrain.errors import ConfigError
from mmtrain.page import render
from mmtrain.record import read_rows
from mmtrain.reproduction import differences_of_config
from mmtrain.significance import blocks, bootstrap

_Z = 1.959964  # of a 95 % interval
_SKIPPED = ("kind", "step", "split", "rows", "checkpoint")


class Line(NamedTuple):
    """One metric of both runs; the interval is of b - a, None where nothing tells how far it reaches."""

    name: str
    a: float | None
    b: float | None
    low: float | None
    high: float | None
    how: str  # where the interval comes from


class Compared(NamedTuple):
    """What is said of two runs."""

    split: str
    lines: Sequence[Line]
    config: Sequence[tuple[str, str, str]]  # key, value in a, value in b
    notes: Sequence[str]


def compare(a: Path, b: Path) -> Compared:
    """Compares the final scores of two runs.

    Raises:
        ConfigError: One has not ended, or they were judged by different splits.
    """
    finals = [_final(folder) for folder in (a, b)]
    split = str(finals[0]["split"])
    if finals[1]["split"] != split:
        raise ConfigError(f"{a} was judged on {split}, {b} on {finals[1]['split']}; their scores cannot be compared.")
    tables = [_predictions(folder, split) for folder in (a, b)]
    shared = [name for name in tables[0] if name in tables[1]]
    notes = []
    if len(shared) < max(map(len, tables)):
        counts = " and ".join(f"{len(table):,}" for table in tables)
        notes.append(f"{len(shared):,} rows of {split} are in both runs, of {counts}.")
    other = [name for name in shared if tables[0][name].truth != tables[1][name].truth]
    if other:
        notes.append(f"{len(other):,} of them have another target in each ({other[0]} first), so nothing is paired.")
        shared = []
    pairs = [(tables[0][name], tables[1][name]) for name in shared]
    names = [name for name in {**finals[0], **finals[1]} if name not in _SKIPPED and not name.endswith("_se")]
    lines = [_line(name, finals, shared, pairs) for name in names]
    return Compared(split, lines, differences_of_config(a, b), notes)


def write(path: Path, a: Path, b: Path, compared: Compared) -> None:
    """Writes the page."""
    html = render("comparison.html", a=str(a), b=str(b), compared=compared)
    path.write_bytes(html.encode("utf-8", "replace"))


class _Row(NamedTuple):
    truth: str
    said: str


def _line(
    name: str, finals: Sequence[Mapping[str, object]], shared: Sequence[str], pairs: Sequence[tuple[_Row, _Row]]
) -> Line:
    values = [value if isinstance(value := final.get(name), float) else None for final in finals]
    a, b = values
    if a is None or b is None:
        return Line(name, a, b, None, None, "")
    scores = [_score(name, row) for pair in pairs for row in pair]
    by_row = [score for score in scores if score is not None]
    if pairs and len(by_row) == len(scores):
        differences = np.array(by_row[1::2]) - np.array(by_row[0::2])  # [N]
        units = blocks(shared)
        per_unit = np.array([differences[unit].sum() for unit in units]) * len(units) / len(differences)  # [U]
        low, high = bootstrap(per_unit)
        return Line(name, a, b, low, high, f"paired bootstrap over {len(shared):,} rows")
    errors = [error if isinstance(error := final.get(f"{name}_se"), float) else None for final in finals]
    if errors[0] is not None and errors[1] is not None:
        half = _Z * math.hypot(errors[0], errors[1])
        return Line(name, a, b, b - a - half, b - a + half, "not paired: from the errors of both")
    return Line(name, a, b, None, None, "")


def _score(metric: str, row: _Row) -> float | None:
    """What one row adds to a metric that is a mean over rows; None for any other metric."""
    if metric == "accuracy":
        return float(row.said == row.truth) if row.truth else None
    if metric == "mae":
        try:
            return abs(float(row.said) - float(row.truth))
        except ValueError:
            return None
    return None


def _final(folder: Path) -> Mapping[str, object]:
    rows = read_rows(folder)
    found = [row for row in rows if row["kind"] == "evaluation" and "checkpoint" in row]
    if not found or rows[-1]["kind"] != "end":
        raise ConfigError(f"{folder} has not ended, so it has no final score; first: mmtrain resume {folder}")
    return found[-1]


def _predictions(folder: Path, split: str) -> dict[str, _Row]:
    """Truth and prediction by id, of a task with one target; empty where there is no such file."""
    path = folder / "predictions" / f"{split}.csv"
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        header = list(reader.fieldnames or ())
        if len(header) < 3 or header[2] != "prediction":
            return {}
        return {row["id"]: _Row(row[header[1]], row["prediction"]) for row in reader if row[header[1]]}

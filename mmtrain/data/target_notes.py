"""Notes on a target that a person should know of: classes whose names look alike, tags and words that rows lack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmtrain.data.targets.classes import without_rows
from mmtrain.data.targets.kinds import TargetReader
from mmtrain.data.targets.lookalikes import rows_of_lookalikes
from mmtrain.data.targets.text import TextTarget
from mmtrain.protocols import DataSource
from mmtrain.target import Target, TargetSpec

TargetCells = Mapping[str, Sequence[str | None]]
"""By split, the cell of each of its rows: exactly as written, None where it is blank."""


def notes_on_target(source: DataSource, cells: TargetCells, reader: TargetReader, spec: TargetSpec) -> list[str]:
    """What is legal in the cells of a target and seldom meant; cells that the reader refuses are passed over."""
    notes = _lookalikes(source, cells, reader, spec)
    if spec.kind == "multilabel":
        notes += _tags_without_rows(cells, reader, spec)
    if isinstance(reader, TextTarget):
        notes += _beyond_vocabulary(source, cells, reader)
    return notes


def _lookalikes(source: DataSource, cells: TargetCells, reader: TargetReader, spec: TargetSpec) -> list[str]:
    read = (
        (row, target)
        for split, own in cells.items()
        for row, cell in zip(source.splits[split], own, strict=True)
        if cell is not None and (target := read_or_none(reader, cell))
    )
    return [
        f"{len(rows):,} rows have {one!r} in `{spec.name}`, a class of its own beside {other!r}: {places(source, rows)}"
        for (one, other), rows in rows_of_lookalikes(spec, read).items()
    ]


def _tags_without_rows(cells: TargetCells, reader: TargetReader, spec: TargetSpec) -> list[str]:
    notes = []
    for split, own in cells.items():
        found = [read_or_none(reader, cell) for cell in own if cell is not None]
        missing = without_rows(spec, [target for target in found if target is not None])
        if missing:
            notes.append(f"no row of {split} has {missing}")
    return notes


def _beyond_vocabulary(source: DataSource, cells: TargetCells, reader: TextTarget) -> list[str]:
    pairs = [pair for split, own in cells.items() for pair in zip(source.splits[split], own, strict=True)]
    rows = [row for row, cell in pairs if cell is not None and reader.beyond_vocabulary(cell)]
    told = f"{len(rows):,} rows hold words of `{reader.name}` outside its vocabulary, which are never written"
    return [f"{told}: {places(source, rows)}"] if rows else []


def read_or_none(reader: TargetReader, value: str, key: int | None = None) -> Target | None:
    """A cell that `on_bad_sample=skip` has let through counts as blank wherever it is read."""
    try:
        return reader.encode(value, key)
    except ValueError:
        return None


def places(source: DataSource, rows: Sequence[int]) -> str:
    """Where the first of some rows stand, and how many more there are."""
    more = f" and {len(rows) - 5:,} more" if len(rows) > 5 else ""
    return ", ".join(source.place(row) for row in rows[:5]) + more

"""What each row held when a run began: a line a row in `splits.jsonl`, so that one that has changed can be named.

A line has the row's id, its split, and 8 hex digits of SHA-256 for each cell that is not blank. Media are read for it,
up to `MOST_BYTES` in all, so that a large data set is not read twice; beyond, a line says "" of a media cell.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from mmtrain.contracts import Cell
from mmtrain.errors import CheckpointError, DataError
from mmtrain.largefile import Content, sha256_of
from mmtrain.protocols import DataSource

FILE = "splits.jsonl"
MOST_BYTES = 2**29
_UNREAD = ""
_UNREADABLE = "unreadable"


class Noted(NamedTuple):
    """A row as it was noted: its split, and the digest of each cell by modality or target."""

    split: str
    cells: Mapping[str, str]


def noted(source: DataSource) -> Iterator[tuple[str, Noted]]:
    """The rows of a source by id, split by split; reads the media of the first ones."""
    left = MOST_BYTES
    media = set[str]()
    for split, rows in source.splits.items():
        for row in rows:
            cells = {}
            for name in source.kinds:
                if not source.present(row, name):
                    continue
                if left <= 0 and name in media:
                    cells[name] = _UNREAD
                    continue
                try:
                    pieces = _pieces(source.cell(row, name))
                except DataError:  # told where it is needed; a run may leave such rows out
                    cells[name] = _UNREADABLE
                    continue
                if any(isinstance(piece, Content) for piece in pieces):
                    media.add(name)
                    left -= sum(len(piece) for piece in pieces if isinstance(piece, Content))
                cells[name] = _digest(pieces)
            for name in source.targets:
                if (value := source.target(row, name)) is not None:
                    cells[name] = _digest([value])
            yield source.ids[row], Noted(split, cells)


def write(folder: Path, source: DataSource) -> None:
    """Writes splits.jsonl."""
    with (folder / FILE).open("w", encoding="utf-8") as file:
        for name, row in noted(source):
            file.write(json.dumps({"id": name, "split": row.split, "cells": row.cells}, ensure_ascii=False) + "\n")


def read(folder: Path) -> dict[str, Noted]:
    """The rows of a run as it has noted them, by id.

    Raises:
        CheckpointError: The file is not there, or was cut off or changed.
    """
    path = folder / FILE
    found: dict[str, Noted] = {}
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                found[str(row["id"])] = Noted(str(row["split"]), dict(row.get("cells", {})))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise CheckpointError(f"{path}:{len(found) + 1}: not a row of a run; it was cut off or changed.") from None
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}; it says which rows the run had.") from None
    return found


def changed(before: Mapping[str, Noted], now: Mapping[str, Noted]) -> Iterator[tuple[str, str]]:
    """Id and modality or target of each cell whose content is another one, of the rows that are in both.

    A cell whose content was not noted, then or now, is passed over; so is a row without any notes.
    """
    for name, old in before.items():
        new = now.get(name)
        if new is None or not old.cells or not new.cells:
            continue
        for column in {**old.cells, **new.cells}:
            digests = old.cells.get(column), new.cells.get(column)
            if digests[0] != digests[1] and _UNREAD not in digests:
                yield name, column


def difference(before: Mapping[str, Noted], source: DataSource) -> str:
    """How many rows of a source are not as they were noted: new, gone, in another split, of other content."""
    now = dict(noted(source))
    moved = sum(now[name].split != row.split for name, row in before.items() if name in now)
    other = len({name for name, _ in changed(before, now)})
    return (
        f"{len(now.keys() - before.keys()):,} rows are new, {len(before.keys() - now.keys()):,} gone, {moved:,} in "
        f"another split, {other:,} of other content"
    )


def _pieces(cell: Cell | None) -> list[str | Content | None]:
    return list(cell) if isinstance(cell, tuple) else [cell]


def _digest(pieces: list[str | Content | None]) -> str:
    told: list[Content] = []
    for piece in pieces:
        content = piece.encode("utf-8", "surrogatepass") if isinstance(piece, str) else piece or b""
        told += [b"%d:" % len(content), content] if len(pieces) > 1 else [content]
    return sha256_of(*told).hexdigest()[:8]

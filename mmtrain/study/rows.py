"""The rows that a study is about: their digest, which tells what has changed when they have, and their groups."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmtrain.errors import ConfigError, DataError
from mmtrain.protocols import DataSource
from mmtrain.runfolder import write_text

FILE = "rows.jsonl"
_MOST_NAMED = 3


def test_groups(source: DataSource, split: str, column: str | None) -> list[str] | None:
    """The value of a column for each row of a split; None without a column.

    Raises:
        ConfigError: The data have no such column.
    """
    if column is None:
        return None
    read = getattr(source, "column", None)
    if not callable(read):
        raise ConfigError(f"`group={column}`: the data have no columns; leave it out.")
    values: Sequence[str] = read(column, "group")
    return [values[row] for row in source.splits[split]]


def require_same(source: DataSource, folder: Path) -> None:
    """Notes the rows of a new study; refuses others than those it began with.

    Raises:
        DataError: Naming rows that have come, gone or changed.
    """
    path, fingerprint = folder / FILE, source.fingerprint()
    now = _digests(source)
    if not path.is_file():
        lines = [{"fingerprint": fingerprint}, *({"id": name, **row} for name, row in now.items())]
        write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        return
    first, *lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if first["fingerprint"] == fingerprint:
        return
    before = {line.pop("id"): line for line in lines}
    raise DataError(
        f"the data have changed since {folder} was begun: {_difference(before, now, source)}. Put the old rows back, "
        "or begin another study with name=."
    )


def _digests(source: DataSource) -> dict[str, dict[str, str]]:
    """Split, target and a digest of each row; of media only the name is looked at, no file is opened."""
    found = {}
    for split, rows in source.splits.items():
        for row in rows:
            targets = [source.target(row, name) for name in source.targets]
            cells = [
                str(source.cell(row, name)) if kind == "text" else source.place(row, name).partition("(")[2]
                for name, kind in source.kinds.items()
            ]
            digest = hashlib.sha256(json.dumps([targets, cells]).encode()).hexdigest()[:12]
            found[source.ids[row]] = {"split": split, "target": str(targets[0] if targets else None), "cells": digest}
    return found


def _difference(
    before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]], source: DataSource
) -> str:
    gone, come = [name for name in before if name not in now], [name for name in now if name not in before]
    both = [name for name in before if name in now and before[name] != now[name]]
    parts = []
    for verb, names in (("are gone", gone), ("are new", come), ("differ", both)):
        if names:
            shown = ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")
            parts.append(f"{len(names):,} rows {verb} ({shown})")
    if both:
        key = next(key for key in ("split", "target", "cells") if before[both[0]][key] != now[both[0]][key])
        what = "its text or file name" if key == "cells" else f"{key} {before[both[0]][key]}, now {now[both[0]][key]}"
        parts.append(f"of {both[0]}: {what}")
    return "; ".join(parts) or "the content of media files, or the order of rows"

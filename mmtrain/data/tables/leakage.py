"""Finds files and groups that are in two splits, where a score measures memory, and can move their rows together."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmtrain.data.tables.splits import linked

OnLeakage = Literal["warn", "error", "move"]
Hashes = NDArray[np.int64]

MOST_FILES = 20_000  # of a column; to look at the sizes of more would delay the start by seconds
MOST_BYTES = 2**28  # to read for a column


class Crossing(NamedTuple):
    """What two splits share of a column: how many files or values, and the first row of the first of them in each."""

    column: str
    splits: tuple[str, str]
    values: int
    rows: tuple[int, int]


def separated(
    parts: Mapping[str, Sequence[int]],
    group: Mapping[str, Sequence[str]],
    files: Mapping[str, Sequence[str]],
    on_leakage: OnLeakage,
    *,
    size: Callable[[str, int], int],
    read: Callable[[str, int], bytes],
    line: Callable[[int], str],
) -> tuple[Mapping[str, Sequence[int]], list[str]]:
    """The splits, and notes on what they share.

    Args:
        parts: The rows of each split, train first.
        group: The column of the group with its cells, or none.
        files: The columns of files with their cells.
        on_leakage: `warn` notes what is shared, `error` refuses it, `move` puts the rows into one split (see `moved`).
        size: Bytes of the file of a column and row.
        read: Its content.
        line: What messages call a row.

    Raises:
        ValueError: Something is shared and `on_leakage` is `error`, or `move` would leave a split without rows.
    """
    columns, notes = dict(group), []
    for name, cells in files.items():
        columns[name], complete = alike(cells, parts, partial(size, name), partial(read, name))
        if not complete:
            notes.append(f"files of `{name}` are compared between splits by name only: too many to read them")
    found = crossings(parts, columns)
    if not found:
        return parts, notes
    if on_leakage == "move":
        made, moves = moved(parts, columns)
        told = (f"{count:,} rows from {old} to {new}" for (old, new), count in moves.items())
        return made, [*notes, f"moved to where rows of the same file or group are: {', '.join(told)}"]
    for leak in found:
        cells = group.get(leak.column) or files[leak.column]
        places = " and ".join(f"{line(row)} ({cells[row]})" for row in leak.rows)
        what = "values" if leak.column in group else "files"
        notes.append(f"{leak.values:,} {what} of `{leak.column}` are in both {' and '.join(leak.splits)}: {places}")
    if on_leakage == "warn":
        notes[-1] += "; `dataset.on_leakage=move` puts such rows into one split"
    if on_leakage == "error":
        raise ValueError(f"{'; '.join(notes)}; `dataset.on_leakage=move` puts them into one split, warn leaves them.")
    return parts, notes


def alike(
    cells: Sequence[str], parts: Mapping[str, Sequence[int]], size: Callable[[int], int], read: Callable[[int], bytes]
) -> tuple[Sequence[str], bool]:
    """The cells of a column of files, those of equal content in different splits made equal.

    Only files of equal size are read, and only where they are in different splits.

    Args:
        cells: One a row.
        parts: The rows of each split.
        size: Bytes of the file of a row.
        read: Its content.

    Returns:
        The cells, and False where there are too many files or bytes to look into: those are compared by name.
    """
    where: defaultdict[str, set[str]] = defaultdict(set)
    rows_of: dict[str, int] = {}
    for split, rows in parts.items():
        for row in rows:
            if (cell := cells[row]).strip():
                where[cell].add(split)
                rows_of.setdefault(cell, row)
                if len(where) > MOST_FILES:
                    return cells, False
    by_size: defaultdict[int, list[str]] = defaultdict(list)
    for cell in where:
        by_size[size(rows_of[cell])].append(cell)
    suspects = {
        bytes_: files
        for bytes_, files in by_size.items()
        if len(files) > 1 and len(set.union(*(where[file] for file in files))) > 1
    }
    if sum(bytes_ * len(files) for bytes_, files in suspects.items()) > MOST_BYTES:
        return cells, False
    same: dict[str, str] = {}
    for files in suspects.values():
        first: dict[bytes, str] = {}
        for file in files:
            same[file] = first.setdefault(hashlib.sha256(read(rows_of[file])).digest(), file)
    return [same.get(cell, cell) for cell in cells], True


def crossings(parts: Mapping[str, Sequence[int]], columns: Mapping[str, Sequence[str]]) -> list[Crossing]:
    """What any two splits share of each column; blank cells are nobody's."""
    found = []
    for name, cells in columns.items():
        hashes = {split: np.fromiter((hash(cells[row]) for row in rows), np.int64) for split, rows in parts.items()}
        for one, other in combinations(parts, 2):
            # of a million distinct cells a dict would take 200 MB; equal hashes are few, and then cells are compared
            equal = np.intersect1d(hashes[one], hashes[other])
            first, there = (_first(cells, parts[split], hashes[split], equal) for split in (one, other))
            shared = [value for value in first if value in there]
            if shared:
                rows_of_first = (first[shared[0]], there[shared[0]])
                found.append(Crossing(name, (one, other), len(shared), rows_of_first))
    return found


def _first(cells: Sequence[str], rows: Sequence[int], hashes: Hashes, wanted: Hashes) -> dict[str, int]:
    """The first row of each value that has one of the hashes; of no blank one."""
    found: dict[str, int] = {}
    for place in np.flatnonzero(np.isin(hashes, wanted)).tolist():
        if cells[rows[place]].strip():
            found.setdefault(cells[rows[place]], rows[place])
    return found


def moved(
    parts: Mapping[str, Sequence[int]], columns: Mapping[str, Sequence[str]]
) -> tuple[dict[str, list[int]], Counter[tuple[str, str]]]:
    """Puts rows that share a value of a column, also by way of other rows, into the first of their splits.

    So train keeps all it has, and of val and test remains what training has not seen.

    Returns:
        The new splits, and how many rows went from which to which.

    Raises:
        ValueError: A split would be left without rows.
    """
    rows = [row for split in parts.values() for row in split]
    home = [split for split, members in parts.items() for _ in members]
    groups = linked([[cells[row] for row in rows] for cells in columns.values()])
    first: dict[str, str] = {}
    made: dict[str, list[int]] = {split: [] for split in parts}
    moves: Counter[tuple[str, str]] = Counter()
    for row, split, group in zip(rows, home, groups, strict=True):  # the splits one after another, train first
        target = first.setdefault(group, split) if group else split
        made[target].append(row)
        if target != split:
            moves[split, target] += 1
    for split, members in made.items():
        if not members:
            raise ValueError(
                f"all {len(parts[split]):,} rows of {split} share a file or group with rows of other splits, so"
                " `dataset.on_leakage=move` would leave none; use warn, or divide the table otherwise."
            )
    return {split: sorted(members) for split, members in made.items()}, moves

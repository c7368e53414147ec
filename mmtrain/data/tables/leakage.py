"""Finds files and groups that are in two splits, where a score measures memory, and can move their rows together.

A file counts as the same wherever it stands: a picture that one column trains on and another tests on is shared too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import combinations, product
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmtrain.data.tables.cells import hashes
from mmtrain.data.tables.splits import linked
from mmtrain.largefile import Content, sha256_of

OnLeakage = Literal["warn", "error", "move"]
Hashes = NDArray[np.int64]
Columns = Mapping[str, Sequence[str]]

MOST_FILES = 20_000  # of a column; to look at the sizes of more would delay the start by seconds
MOST_BYTES = 2**28  # to read for a column


class Crossing(NamedTuple):
    """What two splits share: in which column of each, how many files or values, and the first row of the first."""

    columns: tuple[str, str]
    splits: tuple[str, str]
    values: int
    rows: tuple[int, int]


def separated(
    parts: Mapping[str, Sequence[int]],
    group: Columns,
    files: Columns,
    on_leakage: OnLeakage,
    *,
    size: Callable[[str, int], int],
    read: Callable[[str, int], Content],
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
    notes = []
    contents, complete = alike(files, parts, size, read)
    if not complete:
        names = ", ".join(f"`{name}`" for name in files)
        notes.append(f"files of {names} are compared between splits by name only: too many to read them")
    found = [crossing for space in (group, contents) for crossing in crossings(parts, space)]
    if not found:
        return parts, notes
    if on_leakage == "move":
        made, moves = moved(parts, group, contents)
        told = (f"{count:,} rows from {old} to {new}" for (old, new), count in moves.items())
        return made, [*notes, f"moved to where rows of the same file or group are: {', '.join(told)}"]
    for leak in found:
        (one, other), (split, there) = leak.columns, leak.splits
        what = f"{leak.values:,} {'values' if one in group else 'files'} of `{one}`"
        where = f"in both {split} and {there}" if one == other else f"in {split}, and in `{other}` of {there}"
        cells = [{**group, **files}[name][row] for name, row in zip(leak.columns, leak.rows, strict=True)]
        places = (f"{line(row)} ({cell})" for row, cell in zip(leak.rows, cells, strict=True))
        notes.append(f"{what} are {where}: {' and '.join(places)}")
    if on_leakage == "warn":
        notes[-1] += "; `dataset.on_leakage=move` puts such rows into one split"
    if on_leakage == "error":
        raise ValueError(f"{'; '.join(notes)}; `dataset.on_leakage=move` puts them into one split, warn leaves them.")
    return parts, notes


def alike(
    files: Columns,
    parts: Mapping[str, Sequence[int]],
    size: Callable[[str, int], int],
    read: Callable[[str, int], Content],
) -> tuple[Columns, bool]:
    """The cells of columns of files, those of equal content in different splits made equal.

    Only files of equal size are read, and only where they are in different splits.

    Args:
        files: One cell a row each.
        parts: The rows of each split.
        size: Bytes of the file of a column and row.
        read: Its content.

    Returns:
        The cells, and False where there are too many files or bytes to look into: those are compared by name.
    """
    where: defaultdict[tuple[str, str], set[str]] = defaultdict(set)  # the splits of each file, by column and cell
    row_of: dict[tuple[str, str], int] = {}
    for (split, rows), (name, cells) in product(parts.items(), files.items()):
        for row in rows:
            if (cell := cells[row]).strip():
                where[name, cell].add(split)
                row_of.setdefault((name, cell), row)
                if len(where) > MOST_FILES * len(files):
                    return files, False
    by_size: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
    for file, row in row_of.items():
        by_size[size(file[0], row)].append(file)
    suspects = {
        bytes_: equal
        for bytes_, equal in by_size.items()
        if len(equal) > 1 and len(set.union(*(where[file] for file in equal))) > 1
    }
    if sum(bytes_ * len(equal) for bytes_, equal in suspects.items()) > MOST_BYTES * len(files):
        return files, False
    digests = {}
    for name, cell in (file for equal in suspects.values() for file in equal):
        with suppress(ValueError, OSError):  # a bad sample is told with its row where it is read to be trained on
            digests[name, cell] = sha256_of(read(name, row_of[name, cell])).hexdigest()
    return {name: [digests.get((name, cell), cell) for cell in cells] for name, cells in files.items()}, True


def crossings(parts: Mapping[str, Sequence[int]], columns: Columns) -> list[Crossing]:
    """What any two splits share of some columns, within one of them or across two; blank cells are nobody's."""
    if not columns:
        return []
    found = []
    hashed = {name: hashes(cells) for name, cells in columns.items()}
    # of a million distinct cells a dict would take 200 MB; equal hashes are few, and then cells are compared
    known = {split: np.sort(np.concatenate([of[rows] for of in hashed.values()])) for split, rows in parts.items()}
    for one, other in combinations(parts, 2):
        places = np.searchsorted(known[other], known[one]).clip(max=len(known[other]) - 1)
        equal = known[one][known[other][places] == known[one]]
        if not len(equal := equal[equal != 0]):
            continue
        for name, there in product(columns, repeat=2):
            first = _first(columns[name], parts[one], hashed[name], equal)
            second = _first(columns[there], parts[other], hashed[there], equal)
            if shared := [value for value in first if value in second]:
                rows_of_first = first[shared[0]], second[shared[0]]
                found.append(Crossing((name, there), (one, other), len(shared), rows_of_first))
    return found


def _first(cells: Sequence[str], rows: Sequence[int], hashed: Hashes, wanted: Hashes) -> dict[str, int]:
    """The first row of each value that has one of the hashes."""
    found: dict[str, int] = {}
    for place in np.flatnonzero(np.isin(hashed[rows], wanted)).tolist():
        found.setdefault(cells[rows[place]], rows[place])
    return found


def moved(
    parts: Mapping[str, Sequence[int]], group: Columns, files: Columns
) -> tuple[dict[str, list[int]], Counter[tuple[str, str]]]:
    """Puts rows that share a group or a file, also by way of other rows, into the first of their splits.

    So train keeps all it has, and of val and test remains what training has not seen.

    Returns:
        The new splits, and how many rows went from which to which.

    Raises:
        ValueError: A split would be left without rows.
    """
    rows = [row for split in parts.values() for row in split]
    home = [split for split, members in parts.items() for _ in members]
    groups = linked(*([[cells[row] for row in rows] for cells in space.values()] for space in (group, files)))
    home_of: dict[str, str] = {}
    made: dict[str, list[int]] = {split: [] for split in parts}
    moves: Counter[tuple[str, str]] = Counter()
    for row, split, own in zip(rows, home, groups, strict=True):  # the splits one after another, train first
        target = home_of.setdefault(own, split) if own else split
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

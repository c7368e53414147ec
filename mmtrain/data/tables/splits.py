"""Who trains, who validates, who tests: by a column, by time, by fold, or at random by class and never through a group.

The random order is a hash of seed and row number, so it is the same on every machine and in every version of NumPy.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mmtrain.seeding import keys
from mmtrain.suggest import nearest

NAMES: Mapping[str, str] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What a split may be called in a table, in small or capital letters."""


def by_column(values: Sequence[str], names: Mapping[str, str] | None = None) -> dict[str, list[int]]:
    """Rows of train, val and test by the cells of a column; a split without rows is left out.

    Args:
        values: One cell a row.
        names: Further names, {name in the column: train, val or test}.

    Raises:
        ValueError: A cell holds an unknown name, or no row trains.
    """
    for name, split in (names or {}).items():
        if split not in ("train", "val", "test"):
            raise ValueError(f"`dataset.split_names` maps '{name}' to '{split}'; expected train, val or test.")
    known = {name: (names or {}).get(name) or NAMES.get(name.lower()) for name in set(values)}
    unknown = {name: count for name, count in Counter(values).items() if known[name] is None}
    if unknown:
        listed = ", ".join(f"'{name}' ({count:,} rows)" for name, count in list(unknown.items())[:5])
        worst = next(iter(unknown))
        meant = NAMES[nearest(worst, NAMES) or "train"]
        raise ValueError(
            f"unknown names in the split column: {listed}; expected {', '.join(NAMES)}."
            f" Say what they are, such as `dataset.split_names={{'{worst}': {meant}}}`."
        )
    splits: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for row, name in enumerate(values):
        splits[known[name] or ""].append(row)
    if not splits["train"]:
        counts = Counter(values)
        meant = max(counts, key=lambda name: (known[name] != "test", counts[name]))
        listed = ", ".join(f"{name} ({counts[name]:,} rows)" for name in sorted(counts))
        raise ValueError(
            f"the split column holds no train rows, only {listed};"
            f" say which of them train, such as `dataset.split_names={{{meant}: train}}`."
        )
    return {split: rows for split, rows in splits.items() if rows}


def stratified(
    labels: Sequence[str], fractions: Mapping[str, float], *, seed: int, groups: Sequence[str] | None = None
) -> dict[str, list[int]]:
    """Rows at random, every class in about the same shares in every split.

    The rows, class by class and shuffled within, are dealt out one at a time to the split that is furthest behind its
    share. The first of each class goes to the first split, so that no other holds a class that this one lacks; so do
    all rows of a class that has fewer of them than there are splits. Labels that are no classes are not looked at.

    Args:
        labels: One a row.
        fractions: Share of each split; together 1; the first named is for training.
        seed: Decides the order.
        groups: One a row; rows of a group go together, a blank one goes alone. A group counts as its first row's class.

    Raises:
        ValueError: A split would get no row.
    """
    labels = classes_of(labels) or [""] * len(labels)
    few, classes = rare(labels, len(fractions)), sorted(set(labels))
    numbers = {label: number for number, label in enumerate(classes)}
    class_of = np.fromiter(map(numbers.__getitem__, labels), np.int64, len(labels))
    place_of = _places(class_of, groups, seed)
    sizes = np.bincount(place_of)  # of the units, in the order in which they are dealt

    # Which units train is known before any is dealt: those that come first of a class, and those of a class too rare.
    first_places = np.full(len(classes), len(sizes))  # of each class
    np.minimum.at(first_places, class_of, place_of)
    undivided = np.fromiter((label in few for label in classes), bool)[class_of]
    trains = np.zeros(len(sizes), bool)
    trains[place_of[undivided | (place_of == first_places[class_of])]] = True
    part_of = np.frombuffer(_dealt(list(fractions.values()), sizes.data, trains.tolist()), np.int8)[place_of]
    splits = {split: np.flatnonzero(part_of == part).tolist() for part, split in enumerate(fractions)}
    for split, rows in splits.items():
        if not rows:
            raise ValueError(
                f"{len(labels):,} rows in {len(sizes):,} groups are too few to split at random: none for {split};"
                " add rows or a split column."
            )
    return splits


def _places(class_of: NDArray[np.int64], groups: Sequence[str] | None, seed: int) -> NDArray[np.int64]:
    """Of each row, the place in the order of what it goes with: class by class, shuffled within."""
    units = first_rows = np.arange(len(class_of))
    if groups is not None:
        numbers: dict[str | int, int] = {}
        named = (group if group.strip() else row for row, group in enumerate(groups))
        units = np.fromiter((numbers.setdefault(name, len(numbers)) for name in named), np.int64)
        first_rows = np.unique(units, return_index=True)[1]
    order = np.lexsort((keys(seed, first_rows.data, "split"), class_of[first_rows]))
    return np.argsort(order)[units]


def _dealt(shares: Sequence[float], sizes: Iterable[int], trains: Iterable[bool]) -> bytearray:
    """The part that each unit goes to: 0 where it trains, else the first of those that are furthest behind."""
    dealt, counts, parts = 0, [0] * len(shares), bytearray()
    for size, first in zip(sizes, trains, strict=True):
        dealt += size
        part, most = 0, shares[0] * dealt - counts[0]
        if not first:
            for other in range(1, len(shares)):
                behind = shares[other] * dealt - counts[other]
                if behind > most:
                    part, most = other, behind
        counts[part] += size
        parts.append(part)
    return parts


def classes_of(labels: Sequence[str]) -> Sequence[str] | None:
    """The labels, where rows can be divided by them; None where they are texts, measurements or lists of tags.

    That is where most are unique, some are numbers that are not whole, or some hold a separator: `cat|dog`, `[1, 2]`.
    """
    distinct = set(labels)
    unlike = len(distinct) > len(labels) / 2 or any(_is_list(label) for label in distinct)
    return None if unlike or (any(map(_is_fraction, distinct)) and all(map(_is_number, distinct))) else labels


def rare(labels: Sequence[str], splits: int) -> dict[str, int]:
    """Classes with fewer rows than there are splits, with the number of their rows."""
    counts = Counter(classes_of(labels) or ())
    return {label: count for label, count in counts.items() if count < splits and label.strip()}


def linked(*spaces: Sequence[Sequence[str]]) -> list[str]:
    """Groups of rows that share a cell of any of the columns, also by way of other rows; "" for a row that is alone.

    Args:
        spaces: Columns of one cell a row each, by what their cells are: equal ones link rows within a column and across
            the columns of a space, not across spaces; blank ones link nothing.
    """
    columns = [cells for space in spaces for cells in space]
    if len(columns) == 1:
        counts = Counter(columns[0])
        return [cell if counts[cell] > 1 and cell.strip() else "" for cell in columns[0]]
    parents = list(range(len(columns[0]))) if columns else []

    def root(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    for space in spaces:
        first: dict[str, int] = {}
        for row, cell in (numbered for cells in space for numbered in enumerate(cells)):
            if cell.strip() and (other := first.setdefault(cell, row)) != row:
                one, two = sorted((root(row), root(other)))
                parents[two] = one
    roots = [root(row) for row in range(len(parents))]
    sizes = Counter(roots)
    return [str(one) if sizes[one] > 1 else "" for one in roots]


def by_time(moments: Sequence[float], fractions: Mapping[str, float]) -> dict[str, list[int]]:
    """The earliest rows to the first split, the latest to the last; rows of one moment stay together.

    Args:
        moments: One a row.
        fractions: Share of each split, in order of time; together 1.

    Raises:
        ValueError: A split would get no row.
    """
    splits: dict[str, list[int]] = {split: [] for split in fractions}
    counts, before = Counter(moments), 0
    bounds, bound = [], 0.0
    for split, share in fractions.items():
        bound += share
        bounds.append((bound * len(moments), split))
    belongs = {}
    for moment in sorted(counts):
        middle = before + counts[moment] / 2
        belongs[moment] = next((split for bound, split in bounds if middle < bound), bounds[-1][1])
        before += counts[moment]
    for row, moment in enumerate(moments):
        splits[belongs[moment]].append(row)
    empty = [split for split, rows in splits.items() if not rows]
    if empty:
        raise ValueError(f"{len(counts):,} distinct times are too few to split by time: no rows for {empty[0]}.")
    return splits


def by_fold(values: Sequence[str], fold: str | None, *, val: bool = True) -> dict[str, list[int]]:
    """One fold tests, the next one validates, the others train; with two folds in all, none validates.

    Args:
        values: The fold of each row.
        fold: The one that tests; None: the first. Folds that are all numbers are in the order of numbers.
        val: The next one validates, not trains.

    Raises:
        ValueError: There is no such fold, only one, or a cell is blank.
    """
    folds = sorted(set(values), key=lambda name: (float(name), name) if _all_numbers(values) else (0.0, name))
    if not all(name.strip() for name in folds):
        raise ValueError(f"{sum(not value.strip() for value in values):,} rows have no fold; fill the cells in.")
    if len(folds) < 2:
        raise ValueError(f"the fold column holds '{folds[0]}' only; a fold needs others to train on.")
    if fold is not None and fold not in folds:
        raise ValueError(f"`dataset.fold` (={fold}) is none of the folds {', '.join(folds)}.")
    tested = folds.index(fold) if fold is not None else 0
    roles = dict.fromkeys(folds, "train") | {folds[tested]: "test"}
    if val and len(folds) > 2:
        roles[folds[(tested + 1) % len(folds)]] = "val"
    splits: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for row, value in enumerate(values):
        splits[roles[value]].append(row)
    return {split: rows for split, rows in splits.items() if rows}


def _is_list(label: str) -> bool:
    return "|" in label or ";" in label or label.startswith("[")


def _is_number(label: str) -> bool:
    try:
        return math.isfinite(float(label))
    except ValueError:
        return False


def _is_fraction(label: str) -> bool:
    return _is_number(label) and not float(label).is_integer()


def _all_numbers(values: Sequence[str]) -> bool:
    return all(map(_is_number, set(values)))

"""Who trains, who validates, who tests: from a column, or at random, stratified by class and never through a group.

The random order is a hash of seed and row number, so it is the same on every machine and in every version of NumPy.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from mmtrain.seeding import key
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
        raise ValueError(f"the split column holds no train rows, only {', '.join(sorted(set(values)))}.")
    return {split: rows for split, rows in splits.items() if rows}


def stratified(
    labels: Sequence[str], fractions: Mapping[str, float], *, seed: int, groups: Sequence[str] | None = None
) -> dict[str, list[int]]:
    """Rows at random, every class in about the same shares in every split.

    The rows, class by class and shuffled within, are dealt out one at a time to the split that is furthest behind its
    share. The first of each class goes to the first split, so that no other holds a class that this one lacks. Where
    most labels are unique they are no classes, and the split is plainly random.

    Args:
        labels: One a row.
        fractions: Share of each split; together 1; the first named is for training.
        seed: Decides the order.
        groups: One a row; rows of a group go together, a blank one goes alone. A group counts as its first row's class.

    Raises:
        ValueError: A split would get no row.
    """
    if len(set(labels)) > len(labels) / 2:
        labels = [""] * len(labels)
    order = sorted(_units(len(labels), groups), key=lambda rows: (labels[rows[0]], key(seed, rows[0], "split")))

    training = next(iter(fractions))
    splits: dict[str, list[int]] = {split: [] for split in fractions}
    trained: set[str] = set()
    dealt = 0
    for rows in order:
        dealt += len(rows)
        classes = {labels[row] for row in rows}
        behind = {split: share * dealt - len(splits[split]) for split, share in fractions.items()}
        split = max(behind, key=behind.__getitem__) if classes <= trained else training
        splits[split] += rows
        if split == training:
            trained |= classes
    for split, rows in splits.items():
        if not rows:
            raise ValueError(
                f"{len(labels):,} rows in {len(order):,} groups are too few to split at random: none for {split};"
                " add rows or a split column."
            )
    return {split: sorted(rows) for split, rows in splits.items()}


def _units(count: int, groups: Sequence[str] | None) -> Iterable[list[int]]:
    """What cannot be divided: the rows of each group, and every row that has none."""
    if groups is None:
        return ([row] for row in range(count))
    together: defaultdict[str, list[int]] = defaultdict(list)
    for row, group in enumerate(groups):
        if group.strip():
            together[group].append(row)
    return [*together.values(), *([row] for row, group in enumerate(groups) if not group.strip())]


def carve(
    rows: Sequence[int], labels: Sequence[str], groups: Sequence[str] | None, fraction: float, *, seed: int
) -> tuple[list[int], list[int]]:
    """Divides training rows into (train, val), of which val gets the fraction; `labels` and `groups` have one a row."""
    parts = stratified(
        [labels[row] for row in rows],
        {"train": 1 - fraction, "val": fraction},
        seed=seed,
        groups=[groups[row] for row in rows] if groups else None,
    )
    return [rows[number] for number in parts["train"]], [rows[number] for number in parts["val"]]

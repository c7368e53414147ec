"""Targets that are classes: one a row, or any number of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated

import torch

from mmtrain.contracts import Range
from mmtrain.data.targets.cells import parts, require_separator, shown
from mmtrain.suggest import did_you_mean
from mmtrain.target import Target, TargetSpec

_NAMED = 10  # tags in a remark


class UnknownLabelError(ValueError):
    """A label that no training row has; what is near it is looked for when the message is read, and seldom is one."""

    def __init__(self, said: str, label: str, known: Iterable[str], otherwise: str = "") -> None:
        super().__init__(said)
        self._said, self._label, self._known, self._otherwise = said, label[:80], known, otherwise

    def __str__(self) -> str:
        return self._said + (did_you_mean(self._label, self._known) or self._otherwise)


class ClassTarget:
    """One of several classes. Labels are strings, compared exactly and sorted as such: "012" is not "12".

    Args:
        name: Name of the target column.
    """

    kind = "class"
    remarks: Sequence[str] = ()

    def __init__(self, name: str) -> None:
        self.name = name
        self._ids: dict[str, int] = {}

    def check(self, value: str) -> None:
        """Every cell will do."""

    def fit(self, values: Iterable[str]) -> TargetSpec:
        """Learns the classes and how often each occurs.

        Raises:
            ValueError: There are fewer than two classes.
        """
        counts = Counter(values)
        if len(counts) < 2:
            found = f"only '{next(iter(counts))}'" if counts else "none"
            raise ValueError(f"`{self.name}` needs two classes at least in the training rows, found {found}")
        classes = tuple(sorted(counts))
        spec = TargetSpec(self.name, self.kind, classes, tuple(counts[name] for name in classes))
        self.restore(spec)
        return spec

    def restore(self, spec: TargetSpec) -> None:
        """Takes the classes of `spec`."""
        self._ids = {label: number for number, label in enumerate(spec.classes)}

    def encode(self, value: str, key: int | None = None) -> Target:
        """The number of a class, [1] int64.

        Raises:
            ValueError: The label is in no training row.
        """
        number = self._ids.get(value)
        if number is None:
            said = f"label {shown(value)} is none of the {len(self._ids)} classes of `{self.name}`."
            raise UnknownLabelError(said, value, self._ids)
        return Target(torch.tensor([number]), torch.tensor([True]))

    def absent(self) -> Target:
        """Class 0 under the mask."""
        return Target(torch.tensor([0]), torch.tensor([False]))


class MultilabelTarget:
    """Any number of tags a row. Tags are strings, compared exactly; one that is named twice counts once.

    Args:
        name: Name of the target column.
        separator: Between the tags of a cell, with any blanks around it; `json`: the cell is a JSON list of strings.
        min_count: A tag that fewer training rows have is not learned, and left out wherever it stands.

    Raises:
        ValueError: `separator` is empty.
    """

    kind = "multilabel"

    def __init__(self, name: str, *, separator: str = "|", min_count: Annotated[int, Range(1)] = 1) -> None:
        require_separator("separator", separator)
        self.name, self.separator, self.min_count = name, separator, min_count
        self.remarks: Sequence[str] = ()
        self._ids: dict[str, int] = {}

    def check(self, value: str) -> None:
        """Whether the cell holds tags.

        Raises:
            ValueError: A tag is empty, or the cell is no JSON list of strings.
        """
        parts(value, self.separator)

    def fit(self, values: Iterable[str]) -> TargetSpec:
        """Learns the tags and how many rows have each.

        Raises:
            ValueError: No tag is common enough.
        """
        counts: Counter[str] = Counter()
        rows = 0
        for value in values:
            counts.update(set(parts(value, self.separator)))
            rows += 1
        classes = tuple(sorted(tag for tag, count in counts.items() if count >= self.min_count))
        if not classes:
            found = f"the commonest has {max(counts.values())}" if counts else "no row has any"
            raise ValueError(f"no tag of `{self.name}` is on `min_count` (={self.min_count}) training rows: {found}")
        if len(classes) < len(counts):
            left_out = f"{len(counts) - len(classes):,} of {len(counts):,} tags of `{self.name}` are left out"
            self.remarks = [f"{left_out}: fewer than {self.min_count} training rows have them (`min_count`)"]
        counted = tuple(counts[name] for name in classes)
        spec = TargetSpec(self.name, self.kind, classes, counted, rows=rows)
        self.restore(spec)
        return spec

    def restore(self, spec: TargetSpec) -> None:
        """Takes the tags of `spec`."""
        self._ids = {tag: number for number, tag in enumerate(spec.classes)}

    def encode(self, value: str, key: int | None = None) -> Target:
        """1 at the tags of the row, [1,K] float32.

        Raises:
            ValueError: The cell cannot be read, or a tag is on no training row and `min_count` is 1.
        """
        values = torch.zeros(1, len(self._ids))
        for tag in parts(value, self.separator):
            number = self._ids.get(tag)
            if number is not None:
                values[0, number] = 1.0
            elif self.min_count == 1:
                said = f"no training row has the tag {shown(tag)} of `{self.name}`."
                raise UnknownLabelError(said, tag, self._ids, " With `min_count` of 2 or more, rare tags are left out.")
        return Target(values, torch.tensor([True]))

    def absent(self) -> Target:
        """No tag, under the mask."""
        return Target(torch.zeros(1, len(self._ids)), torch.tensor([False]))


def without_rows(spec: TargetSpec, targets: Sequence[Target]) -> str | None:
    """Names the tags that none of some rows has, for a note; None where each is on one."""
    found = torch.cat([target.tensor for target in targets]).sum(dim=0) if targets else torch.zeros(len(spec.classes))
    names = [name for name, count in zip(spec.classes, found.tolist(), strict=True) if not count]
    if not names:
        return None
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f"{len(names):,} of {len(spec.classes):,} tags of `{spec.name}`: {', '.join(names[:_NAMED])}{more}"

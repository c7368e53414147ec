"""Target readers: what a label column becomes. One class a kind, found by `target_reader`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

import torch

from mmtrain.contracts import Target, TargetSpec
from mmtrain.suggest import did_you_mean


class TargetReader(Protocol):
    """Turns the cells of one target column into numbers; made as `target_reader(kind, name)`."""

    kind: str

    def fit(self, values: Iterable[str]) -> TargetSpec:
        """Learns the classes (or whatever the kind has) from the training rows."""

    def restore(self, spec: TargetSpec) -> None:
        """Takes a spec learned earlier in place of `fit`."""

    def encode(self, value: str) -> int:
        """One cell.

        Raises:
            ValueError: A value that training rows do not have; the message does not name the row.
        """

    def collate(self, values: Sequence[int | None]) -> Target:
        """One batch of encoded cells; None where a row has no such target."""


class ClassTarget:
    """One of several classes. Labels are strings, compared exactly and sorted as such: "012" is not "12".

    Args:
        name: Name of the target column.
    """

    kind = "class"

    def __init__(self, name: str) -> None:
        self.name = name
        self._ids: dict[str, int] = {}

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

    def encode(self, value: str) -> int:
        """The number of a class.

        Raises:
            ValueError: The label is in no training row.
        """
        number = self._ids.get(value)
        if number is None:
            hint = did_you_mean(value[:80], self._ids)
            raise ValueError(f"label {value[:80]!r} is none of the {len(self._ids)} classes of `{self.name}`.{hint}")
        return number

    def collate(self, values: Sequence[int | None]) -> Target:
        """Values [B] int64, 0 under the mask."""
        numbers = torch.tensor([0 if value is None else value for value in values], dtype=torch.int64)
        return Target(numbers, torch.tensor([value is not None for value in values]))


_KINDS = {reader.kind: reader for reader in (ClassTarget,)}


def target_reader(kind: str, name: str) -> TargetReader:
    """A reader for the target `name`.

    Raises:
        ValueError: No such kind.
    """
    if kind not in _KINDS:
        raise ValueError(f"target `{name}` has kind '{kind}'; known kinds: {', '.join(_KINDS)}.")
    return _KINDS[kind](name)

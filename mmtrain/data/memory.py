"""Rows made in memory, as a source: what built-in data is handed over as."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mmtrain.contracts import Cell
from mmtrain.seeding import key

Row = tuple[Mapping[str, str | bytes], str | tuple[str, ...]]
"""The content of each modality, and the target, or one of each of several."""


def draw_splits(
    name: str, seed: int, counts: Mapping[str, int], draw: Callable[[str, np.random.RandomState], Row | None]
) -> dict[str, list[Row]]:
    """Draws so many rows for each split, from a stream of its own that is the same in every version of NumPy.

    Args:
        name: Of the data; part of the key of its streams.
        seed: Decides everything that is drawn.
        counts: Rows by split.
        draw: Makes a row for a split; None: one that must not be there, and another is drawn in its place.
    """
    splits = {}
    for split, count in counts.items():
        random = np.random.RandomState(key(seed, name, split) % 2**32)
        rows: list[Row] = []
        while len(rows) < count:
            if (row := draw(split, random)) is not None:
                rows.append(row)
        splits[split] = rows
    return splits


class MemorySource:
    """A `DataSource` over rows that a function has made, all with all modalities and targets.

    Args:
        splits: The rows of each split.
        kinds: The kind of every modality.
        target: Name of the target, or the names of several.
        split_origin: As in DataSource.
    """

    kinds: Mapping[str, str]
    targets: Sequence[str]
    ids: Sequence[str]
    splits: Mapping[str, Sequence[int]]
    split_origin: str
    ceilings: Mapping[str, float]
    notes: Sequence[str]

    def __init__(
        self,
        splits: Mapping[str, Sequence[Row]],
        *,
        kinds: Mapping[str, str],
        target: str | Sequence[str],
        split_origin: str,
    ) -> None:
        self.kinds, self.targets, self.split_origin = kinds, _tuple(target), split_origin
        self.ceilings, self.notes = {}, ()
        self._rows = [(cells, _tuple(told)) for rows in splits.values() for cells, told in rows]
        self.ids = [f"{split}-{number:04d}" for split, rows in splits.items() for number in range(len(rows))]
        starts = {split: sum(len(rows) for rows in list(splits.values())[:at]) for at, split in enumerate(splits)}
        self.splits = {split: range(starts[split], starts[split] + len(rows)) for split, rows in splits.items()}

    def present(self, row: int, name: str) -> bool:
        return name in self._rows[row][0]

    def cell(self, row: int, name: str) -> Cell | None:
        return self._rows[row][0].get(name)

    def target(self, row: int, name: str) -> str | None:
        return self._rows[row][1][self.targets.index(name)] if name in self.targets else None

    def place(self, row: int, name: str | None = None) -> str:
        return f"built-in row {self.ids[row]}" + (f", `{name}`" if name else "")

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for identity, (cells, told) in zip(self.ids, self._rows, strict=True):
            for value in (identity, *told, *cells.values()):
                content = value if isinstance(value, bytes) else value.encode()
                digest.update(f"{len(content)}:".encode() + content)
        return digest.hexdigest()


def _tuple(one: str | Sequence[str]) -> tuple[str, ...]:
    return (one,) if isinstance(one, str) else tuple(one)

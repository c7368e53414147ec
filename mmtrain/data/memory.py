"""Rows made in memory, as a source: what built-in data is handed over as."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from mmtrain.contracts import Cell


class MemorySource:
    """A `DataSource` over rows that a function has made, all with all modalities and one target.

    Args:
        splits: The rows of each split; a row holds the content of each modality, and its target.
        kinds: The kind of every modality.
        target: Name of the target.
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
        splits: Mapping[str, Sequence[tuple[Mapping[str, str | bytes], str]]],
        *,
        kinds: Mapping[str, str],
        target: str,
        split_origin: str,
    ) -> None:
        self.kinds, self.targets, self.split_origin = kinds, (target,), split_origin
        self.ceilings, self.notes = {}, ()
        self._rows = [row for rows in splits.values() for row in rows]
        self.ids = [f"{split}-{number:04d}" for split, rows in splits.items() for number in range(len(rows))]
        starts = {split: sum(len(rows) for rows in list(splits.values())[:at]) for at, split in enumerate(splits)}
        self.splits = {split: range(starts[split], starts[split] + len(rows)) for split, rows in splits.items()}

    def present(self, row: int, name: str) -> bool:
        return name in self._rows[row][0]

    def cell(self, row: int, name: str) -> Cell | None:
        return self._rows[row][0].get(name)

    def target(self, row: int, name: str) -> str | None:
        return self._rows[row][1] if name in self.targets else None

    def place(self, row: int, name: str | None = None) -> str:
        return f"built-in row {self.ids[row]}" + (f", `{name}`" if name else "")

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for identity, (cells, target) in zip(self.ids, self._rows, strict=True):
            for value in (identity, target, *cells.values()):
                content = value if isinstance(value, bytes) else value.encode()
                digest.update(f"{len(content)}:".encode() + content)
        return digest.hexdigest()

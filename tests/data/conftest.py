"""A source in memory: rows as dicts, cells as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import pytest

from mmtrain.contracts import Cell
from mmtrain.protocols import DataSource

Row = Mapping[str, Cell | None]


class MemorySource:
    """Rows given as dicts; every key but `label` and `split` is a modality."""

    def __init__(self, rows: Sequence[Row], kinds: Mapping[str, str], targets: Sequence[str] = ("label",)) -> None:
        self.rows = rows
        self.kinds = kinds
        self.targets = targets
        self.ids = [f"s{number}" for number in range(len(rows))]
        self.splits: dict[str, list[int]] = {}
        for number, row in enumerate(rows):
            self.splits.setdefault(str(row.get("split", "train")), []).append(number)
        self.split_origin = "given"
        self.ceilings = {"text": 0.5}
        self.notes: list[str] = []

    def present(self, row: int, name: str) -> bool:
        return self.rows[row].get(name) is not None

    def cell(self, row: int, name: str) -> Cell | None:
        return self.rows[row].get(name)

    def target(self, row: int, name: str) -> str | None:
        value = self.rows[row].get(name)
        assert not isinstance(value, bytes)
        return value

    def place(self, row: int, name: str | None = None) -> str:
        return f"rows:{row}" if name is None else f"rows:{row} ({name})"

    def fingerprint(self) -> str:
        return hashlib.sha256(repr(self.rows).encode()).hexdigest()


@pytest.fixture
def make_source() -> Callable[..., DataSource]:
    """`make_source(rows, kinds, targets)`."""
    return MemorySource

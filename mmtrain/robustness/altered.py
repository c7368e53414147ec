"""One modality of a split, made worse: the view of the data that an evaluation reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from torch import Tensor

from mmtrain import seeding
from mmtrain.contracts import Cell
from mmtrain.corruptions.catalogue import TEXT, VALUES
from mmtrain.data.dataset import Data


class Corruption(NamedTuple):
    """One way to make one modality worse, as `image.blur` names it."""

    modality: str
    name: str

    def __str__(self) -> str:
        return f"{self.modality}.{self.name}"


@dataclass(frozen=True)
class AlteredData(Data):
    """Data that reads nothing but one modality, with a corruption at one level; a row without it stays without.

    What is drawn follows from the id of the sample and the corruption: equal at every level, in any order of rows.

    Args:
        corruption: What to change; None: nothing, and nothing is read.
        level: From 0 to 1.
        decoded: Keeps what was decoded by row, so that the next level need not decode again.
    """

    corruption: Corruption | None = None
    level: float = 0.0
    decoded: dict[int, Tensor | None] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Data, corruption: Corruption | None, level: float, decoded: dict[int, Tensor | None]) -> Data:
        """The view of the data."""
        known: Mapping[str, object] = {one.name: getattr(data, one.name) for one in fields(Data)}
        return cls(**known, corruption=corruption, level=level, decoded=decoded)  # type: ignore[arg-type]

    def cell(self, row: int, name: str) -> Cell | None:
        """The cell, a text made worse."""
        cell = super().cell(row, name)
        change = TEXT.get(self.corruption.name) if self.corruption and self.spec.signals[name].kind == "text" else None
        return change(cell, self.level, self._key(row)) if change and isinstance(cell, str) else cell

    def decode(self, row: int, name: str) -> Tensor | None:
        """What the cell holds, made worse; None for all other modalities."""
        if self.corruption is None or name != self.corruption.modality:
            return None
        if self.spec.signals[name].kind == "text":
            return super().decode(row, name)
        if row not in self.decoded:
            self.decoded[row] = super().decode(row, name)
        values = self.decoded[row]
        change = VALUES[self.spec.signals[name].kind][self.corruption.name]
        return None if values is None else change(values, self.level, self._key(row))

    def _key(self, row: int) -> int:
        return seeding.key("corruption", str(self.corruption), self.source.ids[row])

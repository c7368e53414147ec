"""A split under one change: the view of the data that an evaluation reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from torch import Tensor

from mmtrain import seeding
from mmtrain.contracts import Cell, Draw
from mmtrain.corruptions.catalogue import TEXT, VALUES
from mmtrain.data.dataset import Data

Absent = Callable[[str, Sequence[str]], frozenset[str]]
"""The id of a row and the modalities it has -> those to hide from the model."""


class Corruption(NamedTuple):
    """One way to make one modality worse, as `image.blur` names it."""

    modality: str
    name: str

    def __str__(self) -> str:
        return f"{self.modality}.{self.name}"


@dataclass(frozen=True)
class AlteredData(Data):
    """Data that reads the one modality that is made worse, and of the others knows how long the samples are.

    Of those, a row has a sample of zeros: its masks, which tasks and models read, are those of the real one. What is
    drawn follows from the id of the row and the corruption: equal at every level, in any order of rows.

    Args:
        blank: By modality and id, the sample of zeros; None where the row lacks the modality.
        corruption: What to make worse; None: nothing.
        level: From 0 to 1.
        decoded: Keeps what was decoded by row, so that the next level need not decode again.
        absent: What to hide of each row; None: nothing.
        lent: By modality and id, whose sample a row gets.
    """

    blank: Mapping[str, Mapping[str, Tensor | None]] = field(default_factory=dict)
    corruption: Corruption | None = None
    level: float = 0.0
    decoded: dict[int, Tensor | None] = field(default_factory=dict)
    absent: Absent | None = None
    lent: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        data: Data,
        blank: Mapping[str, Mapping[str, Tensor | None]],
        *,
        corruption: Corruption | None = None,
        level: float = 0.0,
        decoded: dict[int, Tensor | None] | None = None,
        absent: Absent | None = None,
        lent: Mapping[str, Mapping[str, str]] | None = None,
    ) -> Data:
        """The view of the data; arguments as of the class."""
        view = cls(data.source, data.readers, data.targets, data.spec, data.on_bad_sample, blank=blank)
        kept = {} if decoded is None else decoded
        return replace(view, corruption=corruption, level=level, decoded=kept, absent=absent, lent=lent or {})

    def cell(self, row: int, name: str) -> Cell | None:
        """The cell, a text made worse."""
        cell = super().cell(row, name)
        change = TEXT.get(self.corruption.name) if self.corruption and self.spec.signals[name].kind == "text" else None
        return change(cell, self.level, self._key(row)) if change and isinstance(cell, str) else cell

    def decode(self, row: int, name: str) -> Tensor | None:
        """What the cell holds, made worse."""
        assert self.corruption is not None, "nothing else is decoded"
        if self.spec.signals[name].kind == "text":
            return super().decode(row, name)
        if row not in self.decoded:
            self.decoded[row] = super().decode(row, name)
        values = self.decoded[row]
        change = VALUES[self.spec.signals[name].kind][self.corruption.name]
        return None if values is None else change(values, self.level, self._key(row))

    def _read(self, draw: Draw, name: str, train: bool) -> Tensor | None:
        if self.corruption is not None and name == self.corruption.modality:
            return super()._read(draw, name, train)
        row = self.source.ids[draw.row]
        if self.absent is not None:
            present = [one for one in self.spec.signals if self.blank[one][row] is not None]
            if name in self.absent(row, present):
                return None
        return self.blank[name][self.lent.get(name, {}).get(row, row)]

    def _key(self, row: int) -> int:
        return seeding.key("corruption", str(self.corruption), self.source.ids[row])

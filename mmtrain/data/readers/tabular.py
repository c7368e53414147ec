"""Table reader: the cells of several columns to numbers, each column being numbers or categories.

A column holds numbers if every training cell is written as one; it holds categories if any is not. A cell with leading
zeros (`012`) is a code, not a number, and so are `nan`, `inf` and `1_000`. Statistics and categories come from the
training rows alone; a category that they lack has an id of its own, 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Annotated

import torch
from torch import Tensor

from mmtrain.contracts import Cell, ColumnSpec, Range, SignalSpec

_NUMBER = re.compile(r"[+-]?(?:0|[1-9][0-9]*|(?=\.[0-9]))(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,4})?")


class TabularReader:
    """Reads the columns of a row as [T] float32, T = columns: a standardised number or the id of a category each.

    Blank cells are nan; batches have them under a False mask.

    Args:
        name: The modality's name.
        categories: Columns that hold categories, counted from 1 in the order of the modality; all others hold numbers.
            None: as the training cells are written.
        max_categories: A column of more distinct values is refused: it is an id or a text.

    Raises:
        ValueError: `categories` counts a column twice or from 0.
    """

    kind = "tabular"

    def __init__(
        self,
        name: str,
        *,
        categories: list[int] | None = None,
        max_categories: Annotated[int, Range(2, 1_000_000)] = 1000,
    ) -> None:
        if categories is not None and (min(categories, default=1) < 1 or len(set(categories)) < len(categories)):
            raise ValueError(f"`categories` (={categories}) must list different columns, counted from 1.")
        self.name = name
        self.categories = categories
        self.max_categories = max_categories
        self._columns: tuple[ColumnSpec, ...] = ()
        self._ids: list[dict[str, int]] = []  # of each column; empty for numbers

    def fit(self, cells: Iterable[Cell]) -> SignalSpec:
        """Learns what each column holds, with its mean and deviation or its categories.

        Raises:
            ValueError: A column is blank in every row, has too many categories, or numbers beyond float64.
        """
        columns: list[_Column] = []
        for cell in cells:
            values = _values(cell, len(columns) or None)
            columns = columns or [_Column() for _ in values]
            for column, value in zip(columns, values, strict=True):
                if value is not None:
                    column.add(value, self.max_categories)
        if not columns:
            raise ValueError(f"no training row tells the columns of `{self.name}`")
        if self.categories and max(self.categories) > len(columns):
            raise ValueError(f"`categories` (={self.categories}): `{self.name}` has {len(columns)} columns")
        spec = SignalSpec(
            self.name,
            self.kind,
            length=len(columns),
            columns=tuple(self._learned(number, column) for number, column in enumerate(columns, 1)),
        )
        self.restore(spec)
        return spec

    def _learned(self, number: int, column: _Column) -> ColumnSpec:
        where = f"column {number} of `{self.name}`"
        if not column.count:
            raise ValueError(f"{where} is blank in every training row; leave it out")
        listed = self.categories is not None and number in self.categories
        if self.categories is not None and not listed and column.word is not None:
            raise ValueError(f"{where} holds {column.word[:40]!r}, no number; add {number} to `categories`")
        if listed or column.word is not None:
            if len(column.distinct) > self.max_categories:
                word = f" such as {column.word[:40]!r}" if column.word is not None else ""
                raise ValueError(
                    f"{where} has more than `max_categories` (={self.max_categories:,}) distinct values{word}; leave it"
                    " out if it is an id or a text"
                )
            return ColumnSpec(tuple(sorted(column.distinct)))
        if not math.isfinite(column.squares):
            raise ValueError(f"{where} has numbers too large for a mean and deviation")
        std = math.sqrt(column.squares / column.count)
        return ColumnSpec(mean=column.mean, std=std or 1.0)  # a constant column is 0 everywhere

    def restore(self, spec: SignalSpec) -> None:
        """Takes the columns of `spec`.

        Raises:
            ValueError: It has none.
        """
        if not spec.columns:
            raise ValueError(f"`{self.name}` has no columns")
        self._columns = spec.columns
        self._ids = [{name: number for number, name in enumerate(c.categories, 1)} for c in spec.columns]

    def decode(self, cell: Cell) -> Tensor:
        """The columns of a row: [T] float32, nan where a cell is blank.

        Raises:
            ValueError: Another number of columns than in training, or no number where there should be one.
        """
        found = []
        values = _values(cell, len(self._columns))
        for number, (value, column, ids) in enumerate(zip(values, self._columns, self._ids, strict=True), 1):
            if value is None:
                found.append(math.nan)
            elif column.categories:
                found.append(float(ids.get(value, 0)))
            else:
                parsed = _number(value)
                if parsed is None:
                    raise ValueError(f"column {number} of `{self.name}` is {value[:40]!r}, where training had numbers")
                found.append((parsed - column.mean) / column.std)
        row = torch.tensor(found, dtype=torch.float32)
        if row.isinf().any():
            raise ValueError(f"`{self.name}` has a number too far from those of training: {values}")
        return row

    def finish(self, values: Tensor) -> Tensor:
        """The row as it is."""
        return values


class _Column:
    """What the training cells of one column have shown so far."""

    def __init__(self) -> None:
        self.count = 0
        self.word: str | None = None  # the first cell that is no number
        self.distinct: set[str] = set()
        self.mean = 0.0
        self.squares = 0.0  # sum of squared differences from the mean, after Welford 1962

    def add(self, value: str, most: int) -> None:
        self.count += 1
        if len(self.distinct) <= most:  # one more than legal is enough to know
            self.distinct.add(value)
        number = _number(value)
        if number is None:
            self.word = self.word if self.word is not None else value
        elif self.word is None:
            difference = number - self.mean
            self.mean += difference / self.count
            self.squares += difference * (number - self.mean)


def _values(cell: Cell, expected: int | None) -> list[str | None]:
    """The cells of a row, stripped; None where one is blank."""
    if not isinstance(cell, tuple):
        raise ValueError(f"expected the cells of a row, got one {type(cell).__name__}")
    if expected is not None and len(cell) != expected:
        raise ValueError(f"the row has {len(cell)} columns, the first one {expected}")
    values: list[str | None] = []
    for value in cell:
        if not isinstance(value, str | None):
            raise ValueError("expected numbers and categories, got the content of a file")
        values.append((value or "").strip() or None)
    return values


def _number(value: str) -> float | None:
    number = float(value) if _NUMBER.fullmatch(value) else math.nan
    return number if math.isfinite(number) else None

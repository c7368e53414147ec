"""Divides the rows of a table into train, val and test as its config says, and tells how it was done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from mmtrain.data.tables import splits
from mmtrain.data.tables.cells import hashes
from mmtrain.data.tables.manifest import Manifest
from mmtrain.errors import DataError

Parts = dict[str, list[int]]


@dataclass
class Division:
    """Which rows are in which split.

    Args:
        parts: Row numbers by split: train, val, test.
        origin: Where the splits came from, for people.
        drawn: The splits whose rows were chosen here, not by the table.
        notes: What a person should know.
    """

    parts: Parts
    origin: str
    drawn: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Divider:
    """How to divide; the arguments of `TableSource` that say so.

    Raises:
        ValueError: Arguments that do not go together.
    """

    split: str | None = "split"
    split_names: Mapping[str, str] | None = None
    group: str | None = None
    time: str | None = None
    fold_column: str | None = None
    fold: str | None = None
    val_fold: bool = True
    val_fraction: float = 0.1
    test_fraction: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.val_fraction < 1 - self.test_fraction <= 1:
            raise ValueError(
                f"`val_fraction` (={self.val_fraction}) and `test_fraction` (={self.test_fraction}) must leave rows to"
                " train on."
            )
        if self.time and (self.fold_column or self.group):
            other = "fold_column" if self.fold_column else "group"
            raise ValueError(f"`time` (={self.time}) and `{other}` (={getattr(self, other)}) are two ways; choose one.")
        for name, default in (("fold", None), ("val_fold", True)):
            if (value := getattr(self, name)) != default and not self.fold_column:
                raise ValueError(f"`{name}` (={value}) needs `fold_column`, the column that says the folds.")

    def columns(self, table: Manifest) -> list[str]:
        """The columns that are read to divide; each must be in the table, but for `split` where it is by default.

        Raises:
            DataError: One is not.
        """
        by = "fold_column" if self.fold_column else "time" if self.time else "split"
        name = getattr(self, by)
        if by == "split" and (name is None or (name == "split" and name not in table.columns)):
            found = []
        else:
            table.column(name, f"dataset.{by}")
            found = [name]
        if self.group:
            table.column(self.group, "dataset.group")
        return [*found, *([self.group] if self.group else [])]

    def divide(self, table: Manifest, rows: Sequence[int], target: str | None, media: Sequence[str]) -> Division:
        """Divides some rows of a table.

        Args:
            table: The table.
            rows: Those to divide; the others are in no split.
            target: The column whose classes every split gets its share of, where rows are drawn at random.
            media: Columns of files; rows that share one are drawn into one split, where that can be done.

        Raises:
            DataError: The table cannot be divided like that.
        """

        whole = len(rows) == len(table)
        known: dict[str, str] = {}  # one string a label, not one a row

        def of(name: str) -> Sequence[str]:
            cells = table.columns[name] if whole else (table.columns[name][row] for row in rows)
            return [known.setdefault(cell, cell) for cell in cells]

        def files(name: str) -> Sequence[str]:
            return table.columns[name] if whole else [table.columns[name][row] for row in rows]

        named = self.columns(table)
        labels = of(target) if target else [""] * len(rows)
        together = {self.group: of(self.group)} if self.group else {name: files(name) for name in media}
        try:
            if self.fold_column:
                folds = of(self.fold_column)
                made = Division(splits.by_fold(folds, self.fold, val=self.val_fold), f"column `{self.fold_column}`")
                made.origin += f", of which '{folds[made.parts['test'][0]]}' is test"
                if "val" in made.parts:
                    made.origin += f" and '{folds[made.parts['val'][0]]}' val"
            elif self.time:
                moments = _moments(table, rows, self.time)
                made = Division(
                    splits.by_time(moments, self._shares()), f"column `{self.time}`, the earliest rows train"
                )
            elif self.split in named:
                made = Division(splits.by_column(of(self.split or ""), self.split_names), f"column `{self.split}`")
            else:
                made = self._random(labels, together, target)
            if "val" not in made.parts:
                self._carve(made, labels, together)
        except ValueError as error:
            raise DataError(f"{table.name}: {error}") from None
        ordered = (name for name in ("train", "val", "test") if name in made.parts)
        made.parts = {name: made.parts[name] for name in ordered}
        if not whole:
            made.parts = {name: [rows[number] for number in numbers] for name, numbers in made.parts.items()}
        return made

    def _shares(self) -> dict[str, float]:
        shares = {"train": 1 - self.val_fraction - self.test_fraction, "val": self.val_fraction}
        return {**shares, "test": self.test_fraction} if self.test_fraction else shares

    def _random(self, labels: Sequence[str], together: Mapping[str, Sequence[str]], target: str | None) -> Division:
        shares = self._shares()
        parts, kept = self._draw(
            together,
            lambda groups: splits.stratified(labels, shares, seed=self.seed, groups=groups),
            min(list(shares.values())[1:]),
        )
        by_class = f", stratified by `{target}`" if target and splits.classes_of(labels) else ""
        return Division(
            parts, f"random with seed {self.seed}{by_class}{kept}", tuple(shares)[1:], _few(labels, len(shares))
        )

    def _carve(self, made: Division, labels: Sequence[str], together: Mapping[str, Sequence[str]]) -> None:
        """Takes val out of the training rows."""
        rows = made.parts["train"]
        own = {name: [cells[row] for row in rows] for name, cells in together.items()}

        def draw(groups: Sequence[str] | None) -> Parts:
            shares = {"train": 1 - self.val_fraction, "val": self.val_fraction}
            drawn = splits.stratified([labels[row] for row in rows], shares, seed=self.seed, groups=groups)
            return {name: [rows[number] for number in numbers] for name, numbers in drawn.items()}

        parts, kept = self._draw(own, draw, self.val_fraction)
        made.parts |= parts
        made.origin += f"; val is {self.val_fraction:.0%} of train, drawn with seed {self.seed}{kept}"
        made.drawn = ("val",)
        made.notes += _few([labels[row] for row in rows], 2)

    def _draw(
        self, together: Mapping[str, Sequence[str]], draw: Callable[[Sequence[str] | None], Parts], share: float
    ) -> tuple[Parts, str]:
        """Draws with groups kept whole, and says which; files that link too many rows are left out of it one by one."""
        if self.group:
            return draw(together[self.group]), f", equal `{self.group}` kept together"
        names = sorted(_repeating(together), key=lambda name: -len(set(together[name])))
        while names:
            groups = splits.linked([together[name] for name in names])
            sizes = Counter(group for group in groups if group)
            if sizes and max(sizes.values()) <= max(2, share * len(groups)):
                try:
                    return draw(groups), f", rows of one {' or '.join(f'`{name}`' for name in names)} kept together"
                except ValueError:
                    pass  # too few groups for a draw; fewer columns leave more
            names.pop()  # the one with the fewest distinct files
        return draw(None), ""


def _repeating(together: Mapping[str, Sequence[str]]) -> list[str]:
    """The columns with a cell that stands somewhere else too, in the same column or in another."""
    found = {name: hashes(cells) for name, cells in together.items()}
    if not found:
        return []
    values, counts = np.unique(np.concatenate(list(found.values())), return_counts=True)
    twice = values[(counts > 1) & (values != 0)]
    return [name for name, own in found.items() if len(twice) and np.isin(own, twice).any()]


def _few(labels: Sequence[str], count: int) -> list[str]:
    few = splits.rare(labels, count)
    if not few:
        return []
    named = ", ".join(f"'{label}' ({rows})" for label, rows in sorted(few.items())[:5])
    more = f" and {len(few) - 5:,} more" if len(few) > 5 else ""
    return [f"{len(few):,} classes have fewer rows than splits to draw, so all theirs train: {named}{more}"]


def _moments(table: Manifest, rows: Sequence[int], name: str) -> list[float]:
    """The cells of a column as numbers, or as seconds of ISO dates; a date without a time zone is in UTC."""
    cells = table.columns[name]
    read = _number if _number(cells[rows[0]]) is not None else _date
    moments = []
    for row in rows:
        moment = read(cells[row])
        if moment is None:
            raise DataError(
                f"{table.place(row)}: `{name}` is {cells[row][:40]!r}; `dataset.time` needs ISO dates (2026-01-31) or"
                " numbers in every row, one of the two."
            )
        moments.append(moment)
    return moments


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def _date(cell: str) -> float | None:
    try:
        date = datetime.fromisoformat(cell.strip())
    except ValueError:
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()

"""Proposes how to train on a table: what each column seems to be, what is used, and what is better left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmtrain.data.proposals.inference import Column, infer
from mmtrain.data.proposals.media_kinds import HEAD, kind_of_bytes
from mmtrain.data.proposals.reader_proposal import Setting, reader_settings
from mmtrain.data.proposals.suspects import suspects
from mmtrain.data.proposals.target_kinds import TargetKind, target_kind
from mmtrain.data.tables import splits
from mmtrain.data.tables.files import Files, Store
from mmtrain.data.tables.manifest import Manifest
from mmtrain.errors import ConfigError, DataError
from mmtrain.paths import safe_path

_DEFAULT_TARGET = "label"
_OPENED = 20  # media of a column in the table itself


@dataclass(frozen=True)
class Proposal:
    """A table, looked at.

    Args:
        table: The table.
        target: The column to learn.
        kind: The kind of target.
        blank: Rows without a target.
        modalities: Columns used as modalities, of text or files.
        tabular: Columns of numbers and categories.
        leaks: Columns that seem to give the target away, with the reason.
        columns: All columns by name, in the order of the table.
        readers: Settings of the readers, by kind and argument.
    """

    table: Manifest
    target: Column
    kind: TargetKind
    blank: int
    modalities: Sequence[Column]
    tabular: Sequence[Column]
    leaks: dict[str, str]
    columns: dict[str, Column]
    readers: dict[str, dict[str, Setting]]

    @property
    def tabular_used(self) -> bool:
        """Numbers and categories are a proposal only, but where there is nothing else."""
        return not self.modalities

    def first(self, role: str) -> Column | None:
        """The first column of a role."""
        found = (column for column in self.columns.values() if column.role == role and column is not self.target)
        return next(found, None)

    def said(self, column: Column) -> str:
        """In a few words, what becomes of a column."""
        if column is self.target:
            return f"target: {self.kind.kind}"
        if column.name in self.leaks:
            return "left out: suspected leak"
        if column in self.modalities:
            return column.kind
        if column in self.tabular:
            return "tabular" if self.tabular_used else "tabular, proposed"
        return column.role if column.role in ("id", "split", "fold", "group", "time") else "not used"

    def evidence(self, column: Column) -> str:
        """Why."""
        if column is self.target:
            return "; ".join(part for part in (column.evidence, self.kind.note) if part)
        return "; ".join(part for part in (self.leaks.get(column.name), column.evidence) if part)

    def split_names(self) -> dict[str, str]:
        """Names of splits that must be said to be train: the largest but `test`, where no row trains otherwise."""
        column = self.first("split")
        cells = self.table.columns[column.name] if column else []
        known = {cell: splits.NAMES.get(cell.lower()) for cell in cells}
        if not known or None in known.values() or "train" in known.values():
            return {}
        return {max(known, key=lambda name: (known[name] != "test", cells.count(name))): "train"}


def propose(table: Manifest, target: str | None, data_root: Path) -> Proposal:
    """Looks at every column of a table.

    Args:
        table: The table.
        target: The column to learn; None: `label`, if there is one.
        data_root: The folder that media paths are relative to.

    Raises:
        ConfigError: The target is not said; the message lists the columns that it could be.
        DataError: There is no such column, it cannot be learned, no column could tell it, or ids repeat.
    """
    table.identities(None)
    root = data_root.resolve()
    columns = {
        name: _stored(name, table) if name in table.stores else infer(name, cells, lambda cell: _head(root, cell))
        for name, cells in table.columns.items()
    }
    if target is None and _DEFAULT_TARGET not in columns:
        could = [c for c in columns.values() if c.role in ("category", "tags", "number", "text")]
        listed = ", ".join(f"{column.name} ({column.distinct:,} distinct)" for column in could) or ", ".join(columns)
        hint = f"target={could[0].name}" if could else "target=COLUMN"
        raise ConfigError(f"`target` is missing: which column shall be learned? {listed}; such as {hint}.")
    cells = table.column(target or _DEFAULT_TARGET, "target")
    if table.path is not None and table.path.is_dir() and len(set(cells)) == 1:
        raise DataError(
            f"{table.name}: all {len(table):,} files are in one class folder, '{cells[0]}'; give each class its folder,"
            " or write a table. Of boxes (COCO, YOLO, Pascal VOC) scripts/boxes_to_table.py makes one."
        )
    chosen = columns[target or _DEFAULT_TARGET]
    others = [column for column in columns.values() if column is not chosen]
    kind = target_kind(chosen, cells, {column.kind for column in others if column.role == "media"})
    leaks = suspects(others, table.columns, chosen)
    kept = [column for column in others if column.name not in leaks]
    modalities = [column for column in kept if column.role in ("media", "text")]
    tabular = [column for column in kept if column.kind == "tabular"]
    if not modalities and not tabular:
        raise DataError(
            f"{table.name}: no column that `{chosen.name}` could be learned from: "
            + "; ".join(f"`{c.name}`: {leaks.get(c.name, c.evidence)}" for c in others)[:400]
        )
    blank = sum(not cell.strip() for cell in cells)
    stores = {c.name: table.stores.get(c.name) or Files(table.columns[c.name], root) for c in modalities}
    readers = reader_settings(modalities, table.columns, stores)
    return Proposal(table, chosen, kind, blank, modalities, tabular, leaks, columns, readers)


def _stored(name: str, table: Manifest) -> Column:
    """A column whose media are in the table itself."""
    store, cells = table.stores[name], table.columns[name]
    filled = [row for row, cell in enumerate(cells) if cell.strip()]
    tried = filled[:: max(1, len(filled) // _OPENED)]
    opened = [found for row in tried if (found := kind_of_bytes(_start(store, row)))]
    kind = table.kinds.get(name) or (Counter(one.kind for one in opened).most_common(1)[0][0] if opened else "")
    formats = " and ".join(sorted({one.format for one in opened})) or "of no format that is read"
    blank = f", {len(cells) - len(filled):,} blank" if len(filled) < len(cells) else ""
    return Column(name, "media" if kind else "other", kind, f"in the table itself ({formats}){blank}", len(filled))


def _start(store: Store, row: int) -> bytes:
    try:
        return store.read(row)[:HEAD]
    except (ValueError, OSError):
        return b""


def _head(root: Path, cell: str) -> bytes | None:
    try:
        with safe_path(root, cell).open("rb") as file:
            return file.read(HEAD)
    except (ValueError, OSError):
        return None

"""The user's own data: a table with one row a sample, and media files beside it.

A blank cell means that the row lacks the modality. Every media file is looked for before training starts, so a missing
one is told in seconds, not in the middle of an epoch.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from mmtrain.contracts import Cell, Range
from mmtrain.data.tables import leakage, manifest
from mmtrain.data.tables.blank_targets import OnBlankTarget, labelled
from mmtrain.data.tables.columns import Modality, filled, modalities
from mmtrain.data.tables.division import Divider, Division
from mmtrain.data.tables.files import digest_column
from mmtrain.data.tables.leakage import OnLeakage
from mmtrain.errors import DataError
from mmtrain.largefile import Content


class TableSource:
    """Rows of a table of any form; a `DataSource`. See `configs/dataset/table.yaml` for the arguments.

    Args:
        path: The table, a file or a folder; `mmtrain.data.tables.manifest.read` says which.
        encoding: That of a table in text, by its name in Python; a byte order mark is no part of it.
        data_root: The folder that media paths are relative to and may not leave; None: the folder of the table.
        target: The column of the label, or several columns; None: none, for a task that needs no label.
        split: The column that says train, val or test; where the table has none, rows are split at random.
        split_names: Further names of splits, {name in the column: train, val or test}.
        group: The column whose equal values stay together in one split.
        time: The column of dates or numbers to split by instead: the earliest rows train, the latest are the test.
        fold_column: The column of folds to split by instead: one is the test.
        fold: The fold that is the test; None: the first.
        val_fold: The next one validates; else `val_fraction` of the others.
        id: The column of distinct sample ids; None: `id` if there is one, else the row numbers.
        kinds: The kind of each modality, by column or by name in `columns`; None: by the start of the columns' names.
        columns: The columns of a modality that has several, or another name than its column, by its name.
        val_fraction: Share of the training rows for validation, where the table has no such rows.
        test_fraction: Share of all rows for the test; only where rows are split at random or by time.
        seed: Decides random splits.
        on_blank_target: A row without any target: `error` refuses the table, `drop` leaves the row out of all splits.
        on_leakage: What to do about files of equal content, or equal groups, in two splits: `warn` notes them, `error`
            refuses them, `move` puts all their rows into the first of the splits train, val, test that has one.

    Attributes:
        notes: What a person should know: columns not used, files or groups in two splits, classes too rare to divide.
        shards: As of `Sharded`, only where media are in the files of the table.

    Raises:
        DataError: The table, a column, a split or a media file cannot be used; names rows.
        ValueError: Arguments that do not go together; fractions that leave nothing to train on.
    """

    kinds: Mapping[str, str]
    targets: Sequence[str]
    ids: Sequence[str]
    splits: Mapping[str, Sequence[int]]
    split_origin: str
    notes: Sequence[str]
    ceilings: Mapping[str, float]
    shards: Sequence[Sequence[int]]

    def __init__(
        self,
        *,
        path: str,
        encoding: str = "utf-8",
        data_root: str | None = None,
        target: str | list[str] | None = "label",
        kinds: dict[str, str] | None = None,
        columns: dict[str, list[str]] | None = None,
        id: str | None = None,
        split: str | None = "split",
        split_names: dict[str, str] | None = None,
        group: str | None = None,
        time: str | None = None,
        fold_column: str | None = None,
        fold: str | int | None = None,
        val_fold: bool = True,
        val_fraction: Annotated[float, Range(0, 1, above=True)] = 0.1,
        test_fraction: Annotated[float, Range(0, 1)] = 0.1,
        seed: Annotated[int, Range(0)] = 0,
        on_blank_target: OnBlankTarget = "error",
        on_leakage: OnLeakage = "warn",
    ) -> None:
        divider = Divider(
            split=split,
            split_names=split_names,
            group=group,
            time=time,
            fold_column=fold_column,
            fold=None if fold is None else str(fold),
            val_fold=val_fold,
            val_fraction=val_fraction,
            test_fraction=test_fraction,
            seed=seed,
        )
        if "://" in path:
            raise DataError(f"`dataset.path` (={path}) is a URL; mmtrain downloads nothing: fetch the table first.")
        table = self._table = manifest.read(Path(path), encoding)
        targets = (target,) if isinstance(target, str) else tuple(target or ())
        for name in targets:
            table.column(name, "dataset.target")
        dividing = divider.columns(table)
        others = {name for name in (*targets, split, time, fold_column, id, "id") if name is not None}
        found = modalities(table, kinds, columns, others)
        for name in targets:
            if any(name in modality.columns for modality in found.values()):
                key = "kinds" if name in (kinds or {}) else "columns"
                raise ValueError(f"`{key}` and `target` both name the column '{name}'.")
        self._open(found, targets, data_root, id)
        if table.shards:
            self.shards = table.shards

        rows, blank = labelled(table, targets, on_blank_target)
        division = divider.divide(table, rows, targets[0] if targets else None, self._media())
        self.split_origin = division.origin
        parts, leaks = self._separated(division, group, on_leakage)
        self.splits = {split: array("q", rows) for split, rows in parts.items()}  # lists take four times the memory
        self.notes = [*table.notes, *self._unused({*targets, id or "id", *dividing}), *blank, *division.notes, *leaks]

    @classmethod
    def for_prediction(
        cls,
        table: str | Sequence[manifest.GivenRow],
        *,
        kinds: Mapping[str, str],
        columns: Mapping[str, Sequence[str]] | None = None,
        data_root: str | None = None,
        targets: Sequence[str] = (),
        encoding: str = "utf-8",
    ) -> TableSource:
        """A table whose rows are only predicted: all are in the split `predict`, and no column is compulsory.

        Args:
            table: The path of a table, or its rows, each a mapping from column to cell.
            kinds: The modalities of the model; those without a column are absent in every row.
            columns: As in the class; one that the table lacks is blank in every row.
            data_root: The folder that media paths are relative to; None: the folder of the table, or of the process.
            targets: The columns of the labels, read where the table has them.
            encoding: As in the class.
        """
        source = cls.__new__(cls)
        read = source._table = manifest.read(Path(table), encoding) if isinstance(table, str) else manifest.given(table)
        found = {name: Modality(kind, tuple((columns or {}).get(name, (name,)))) for name, kind in kinds.items()}
        known = {name: modality for name, modality in found.items() if any(c in read.columns for c in modality.columns)}
        if not known:
            raise DataError(
                f"{read.name}: no column of a modality of the model ({', '.join(kinds)}); columns: "
                f"{', '.join(read.columns)}."
            )
        source._open(known, tuple(name for name in targets if name in read.columns), data_root, None)
        source.splits = {"predict": range(len(read))}
        source.split_origin = "all rows"
        source.notes = source._unused({*targets, "id"})
        return source

    def _open(
        self, found: Mapping[str, Modality], targets: tuple[str, ...], data_root: str | None, identity: str | None
    ) -> None:
        self._modalities, self.targets, self.ceilings = dict(found), targets, {}
        self.kinds = {name: modality.kind for name, modality in found.items()}
        self.ids = self._ids = self._table.identities(identity)
        root = Path(data_root) if data_root is not None else self._table.folder
        if not root.is_dir():
            raise DataError(f"no folder {root}; check `dataset.data_root`.")
        self._stores, self._media_digest = self._table.find_media(self._media(), root.resolve())
        self._present = {name: filled(self._table, modality) for name, modality in found.items()}

    def _media(self) -> list[str]:
        """The columns of the table whose cells name files."""
        named = [
            column for modality in self._modalities.values() if modality.names_files for column in modality.columns
        ]
        return [column for column in dict.fromkeys(named) if column in self._table.columns]

    def _unused(self, used: set[str]) -> list[str]:
        read = {column for modality in self._modalities.values() for column in modality.columns}
        read |= {digest_column(name, self._stores, self._table.columns) or "" for name in self._stores}
        unused = [name for name in self._table.columns if name not in used | read]
        return [f"columns not used: {', '.join(unused)}"] if unused else []

    def _separated(
        self, division: Division, group: str | None, on_leakage: OnLeakage
    ) -> tuple[Mapping[str, Sequence[int]], list[str]]:
        try:
            return leakage.separated(
                division.parts,
                {group: self._table.columns[group]} if group else {},
                {name: self._table.columns[name] for name in self._stores},
                on_leakage,
                size=lambda column, row: self._stores[column].size(row),
                read=lambda column, row: self._stores[column].read(row),
                line=self._table.line,
            )
        except ValueError as error:
            raise DataError(f"{self._table.name}: {error}") from None

    def present(self, row: int, name: str) -> bool:
        return name in self._present and self._present[name][row] == 1

    def cell(self, row: int, name: str) -> Cell | None:
        if not self.present(row, name):
            return None
        modality = self._modalities[name]
        if not modality.several:
            return self._cell(row, modality.columns[0], modality)
        return tuple(self._cell(row, column, modality) for column in modality.columns)

    def _written(self, row: int, column: str) -> str:
        """What stands in the table; "" for a blank cell, or where rows to predict lack the column."""
        cell = self._table.columns[column][row] if column in self._table.columns else ""
        return cell if cell.strip() else ""

    def _cell(self, row: int, column: str, modality: Modality) -> str | Content | None:
        value = self._written(row, column)
        if not value or not modality.names_files:
            return value or None
        try:
            return self._stores[column].read(row)
        except (ValueError, OSError) as error:
            raise DataError(f"{self._table.place(row)}: `{column}`: {error}") from None

    def target(self, row: int, name: str) -> str | None:
        value = self._table.columns[name][row] if name in self.targets else ""
        return value if value.strip() else None

    def column(self, name: str, key: str) -> Sequence[str]:
        """Any column of the table, for the config key that names it."""
        return self._table.column(name, key)

    def place(self, row: int, name: str | None = None) -> str:
        modality = self._modalities.get(name or "")
        if modality is None or not modality.names_files or not self.present(row, name or ""):
            return self._table.place(row)
        return (
            f"{self._table.place(row)} ({', '.join(filter(None, (self._written(row, c) for c in modality.columns)))})"
        )

    def fingerprint(self) -> str:
        digest = hashlib.sha256(self._media_digest)
        used = {
            f"{modality.kind} {column}" if column == name else f"{modality.kind} {name} {column}": column
            for name, modality in self._modalities.items()
            for column in modality.columns
        } | {f"target {name}": name for name in self.targets}
        columns = {title: self._table.columns[name] for title, name in used.items() if name in self._table.columns}
        for title, cells in {**columns, "ids": self._ids}.items():
            digest.update(f"{title}\0".encode() + cells.digest)
        for split, rows in self.splits.items():
            digest.update(f"{split}\0".encode() + array("q", rows).tobytes())
        return digest.hexdigest()

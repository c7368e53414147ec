"""The user's own data: a table with one row a sample, and media files beside it.

Columns that start with `text`, `image`, `audio`, `video` or `features` are modalities; a blank cell means that the row
lacks it. Every media file is looked for before training starts, so a missing one is told in seconds, not in the middle
of an epoch.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from mmtrain.contracts import Cell, Range
from mmtrain.data import manifest, splits
from mmtrain.errors import DataError

_KINDS = ("text", "image", "audio", "video", "features")
_WRITTEN = ("text", "tabular")  # what stands in the cell itself; of the others it names a file
_FILE = re.compile(r"\.[^\W\d]\w{0,4}$")  # `a.png`, not `0.5`


class TableSource:
    """Rows of a table of any form; a `DataSource`. See `configs/dataset/table.yaml` for the arguments.

    Args:
        path: The table, a file or a folder; `mmtrain.data.manifest.read` says which.
        data_root: The folder that media paths are relative to and may not leave; None: the folder of the table.
        target: The column of the label, or several; null: there is none. Random splits are stratified by the first.
        split: The column that says train, val or test; where the table has none, rows are split at random.
        group: The column whose equal values stay together in one split.
        id: The column of distinct sample ids; None: `id` if there is one, else the row numbers.
        encoding: That of a table in text, by its name in Python; a byte order mark is no part of it.
        kinds: The kind of each modality by column; None: by the start of the columns' names. Of those that are called
            more than `image` or `audio`, say, one in which no cell is a file name (`image_width`) is none.
        val_fraction: Share of the training rows for validation, where the table has no such rows.
        test_fraction: Share of all rows for the test; only where rows are split at random.
        split_names: Further names of splits, {name in the column: train, val or test}.
        seed: Decides random splits.

    Attributes:
        notes: What a person should know: columns not used, media files or groups in two splits.

    Raises:
        DataError: The table, a column, a split or a media file cannot be used; names rows.
        ValueError: The fractions leave nothing to train on.
    """

    kinds: Mapping[str, str]
    targets: Sequence[str]
    ids: Sequence[str]
    splits: Mapping[str, Sequence[int]]
    split_origin: str
    notes: Sequence[str]
    ceilings: Mapping[str, float]

    def __init__(
        self,
        *,
        path: str,
        data_root: str | None = None,
        target: str | list[str] | None = "label",
        split: str | None = "split",
        group: str | None = None,
        id: str | None = None,
        encoding: str = "utf-8",
        kinds: dict[str, str] | None = None,
        val_fraction: Annotated[float, Range(0, 1, above=True)] = 0.1,
        test_fraction: Annotated[float, Range(0, 1)] = 0.1,
        split_names: dict[str, str] | None = None,
        seed: Annotated[int, Range(0)] = 0,
    ) -> None:
        if not 0 < val_fraction < 1 - test_fraction <= 1:
            raise ValueError(
                f"`val_fraction` (={val_fraction}) and `test_fraction` (={test_fraction}) must leave rows to train on."
            )
        if "://" in path:
            raise DataError(f"`dataset.path` (={path}) is a URL; mmtrain downloads nothing: fetch the table first.")
        table = self._table = manifest.read(Path(path), encoding)
        targets = [target] if isinstance(target, str) else target or []
        columns = [table.column(name, "dataset.target") for name in targets]
        labels = columns[0] if columns else [""] * len(table)
        groups = table.column(group, "dataset.group") if group else None
        if split != "split" and split:
            table.column(split, "dataset.split")  # asked for by name, so it must be there
        for name in kinds or {}:
            table.column(name, "dataset.kinds")
            if name in targets:
                raise ValueError(f"`kinds` and `target` both name the column '{name}'.")
        others = {*targets, split, id, "id"}
        self._open(kinds or self._guess(others), tuple(targets), data_root, id)

        parts: dict[str, list[int]]
        drawn: tuple[str, ...] = ("val", "test")
        try:
            if split and split in table.columns:
                parts = splits.by_column(table.columns[split], split_names)
                self.split_origin = f"column `{split}`"
                drawn = () if "val" in parts else ("val",)
                if drawn:
                    train, val = splits.carve(parts["train"], labels, groups, val_fraction, seed=seed)
                    parts = {**parts, "train": train, "val": val}
                    self.split_origin += f"; val is {val_fraction:.0%} of train, drawn with seed {seed}"
            else:
                shares = {"train": 1 - val_fraction - test_fraction, "val": val_fraction, "test": test_fraction}
                parts = splits.stratified(
                    labels, {name: share for name, share in shares.items() if share}, seed=seed, groups=groups
                )
                self.split_origin = f"random with seed {seed}" + (f", stratified by `{targets[0]}`" if targets else "")
            if drawn and groups:
                self.split_origin += f", equal `{group}` kept together"
        except ValueError as error:
            raise DataError(f"{table.name}: {error}") from None
        self.splits = {name: parts[name] for name in ("train", "val", "test") if name in parts}
        self.notes = [*table.notes, *self._notes(others, group, drawn)]

    @classmethod
    def for_prediction(
        cls,
        table: str | Sequence[manifest.GivenRow],
        *,
        kinds: Mapping[str, str],
        data_root: str | None = None,
        targets: Sequence[str] = (),
        encoding: str = "utf-8",
    ) -> TableSource:
        """A table whose rows are only predicted: all are in the split `predict`, and no column is compulsory.

        Args:
            table: The path of a table, or its rows, each a mapping from column to cell.
            kinds: The modalities of the model; those without a column are absent in every row.
            data_root: The folder that media paths are relative to; None: the folder of the table, or of the process.
            targets: The columns of the labels, read where the table has them.
            encoding: As in the class.
        """
        source = cls.__new__(cls)
        read = source._table = manifest.read(Path(table), encoding) if isinstance(table, str) else manifest.given(table)
        known = {name: kind for name, kind in kinds.items() if name in read.columns}
        if not known:
            raise DataError(
                f"{read.name}: no column of a modality of the model ({', '.join(kinds)}); columns: "
                f"{', '.join(read.columns)}."
            )
        source._open(known, tuple(name for name in targets if name in read.columns), data_root, None)
        source.splits = {"predict": range(len(read))}
        source.split_origin = "all rows"
        source.notes = source._notes({*targets, "id"}, None, ())
        return source

    def _open(
        self, kinds: Mapping[str, str], targets: tuple[str, ...], data_root: str | None, identity: str | None
    ) -> None:
        self.kinds, self.targets, self.ceilings = dict(kinds), targets, {}
        self.ids = self._ids = self._table.identities(identity)
        root = Path(data_root) if data_root is not None else self._table.folder
        if not root.is_dir():
            raise DataError(f"no folder {root}; check `dataset.data_root`.")
        self._stores, self._media_digest = self._table.find_media(self._media(), root.resolve())

    def _guess(self, others: set[str | None]) -> dict[str, str]:
        """Modalities by the start of the columns' names."""
        kinds = {}
        for name, cells in self._table.columns.items():
            told = self._table.kinds.get(name)
            kind = told or next((kind for kind in _KINDS if name.startswith(kind)), None)
            certain = told or name in _KINDS or kind == "text"
            if kind and name not in others and (certain or any(map(_FILE.search, cells))):
                kinds[name] = kind
        if not kinds:
            raise DataError(
                f"{self._table.name}: no column holds a modality: none starts with {', '.join(_KINDS)} (and names"
                f" files); set `dataset.kinds={{column: kind}}`; columns: {', '.join(self._table.columns)}."
            )
        return kinds

    def _media(self) -> list[str]:
        return [name for name, kind in self.kinds.items() if kind not in _WRITTEN]

    def _notes(self, used: set[str | None], group: str | None, drawn: tuple[str, ...]) -> list[str]:
        """Columns that nothing reads, and what is in two splits though it should not be."""
        unused = [name for name in self._table.columns if name not in {*used, group, *self.kinds}]
        notes = [f"columns not used: {', '.join(unused)}"] if unused else []
        for name in dict.fromkeys([*self._media(), *([group] if group else [])]):
            cells = self._table.columns[name]
            trained = {cells[row] for row in self.splits.get("train", ()) if cells[row].strip()}
            for split in ("val", "test"):
                shared = len(trained & {cells[row] for row in self.splits.get(split, ())})
                if shared:
                    hint = f"; `dataset.group={name}` would keep them together" if split in drawn and not group else ""
                    notes.append(f"{shared:,} values of `{name}` are in both train and {split}{hint}")
        return notes

    def present(self, row: int, name: str) -> bool:
        return name in self.kinds and bool(self._table.columns[name][row].strip())

    def cell(self, row: int, name: str) -> Cell | None:
        if not self.present(row, name):
            return None
        value = self._table.columns[name][row]
        if self.kinds[name] in _WRITTEN:
            return value if self.kinds[name] == "text" else (value,)
        try:
            return self._stores[name].read(row)
        except (ValueError, OSError) as error:
            raise DataError(f"{self._table.place(row)}: `{name}`: {error}") from None

    def target(self, row: int, name: str) -> str | None:
        value = self._table.columns[name][row] if name in self.targets else ""
        return value if value.strip() else None

    def place(self, row: int, name: str | None = None) -> str:
        if name in self._media() and self.present(row, name):
            return f"{self._table.place(row)} ({self._table.columns[name][row]})"
        return self._table.place(row)

    def fingerprint(self) -> str:
        digest = hashlib.sha256(self._media_digest)
        used = {
            f"{self.kinds.get(name, 'target')} {name}": self._table.columns[name]
            for name in (*self.kinds, *self.targets)
        }
        for title, cells in {**used, "ids": self._ids}.items():
            digest.update(f"{title}\0".encode() + cells.digest)
        for split, rows in self.splits.items():
            digest.update(f"{split}\0".encode() + array("q", rows).tobytes())
        return digest.hexdigest()

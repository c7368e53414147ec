"""A table of any form as columns of strings: what the rest of mmtrain reads, wherever the rows come from."""

from __future__ import annotations

import hashlib
import json
import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmtrain.data.tables import arrow, class_folders, shards, text_table
from mmtrain.data.tables.cells import BLOCK, BROKEN, Blocks, Column, Content, gather
from mmtrain.data.tables.files import Files, Store, Verified, digest_column
from mmtrain.data.tables.parts import Part, parts
from mmtrain.errors import DataError
from mmtrain.suggest import nearest

GivenRow = Mapping[str, str | float | None]
"""A row in Python, by column: None or a column left out is a blank cell; numbers serve for ids and labels."""


@dataclass(frozen=True)
class Manifest:
    """A table; every column has one string a row, "" where the cell is blank.

    Args:
        path: The file or folder, as the user named it; None: the rows were given in Python.
        columns: Cells by column name, in the order of the file.
        lines: The line of the file on which each row starts, or the number of the row.
        stores: Where the media of a column are that are in the table itself; the cells of others are paths.
        kinds: The kind of modality of a column, where the form of the table says it.
        notes: What a person should know: what is there and was not read.
        shards: The rows of each file, or part of one, that is read fastest from front to back; empty where media are
            files of their own.
    """

    path: Path | None
    columns: Mapping[str, Column]
    lines: array[int]
    stores: Mapping[str, Store] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    shards: Sequence[Sequence[int]] = ()

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def name(self) -> str:
        """What messages call the table: `pets.csv`."""
        return "the given rows" if self.path is None else str(self.path)

    @property
    def folder(self) -> Path:
        """What paths in cells are relative to: the folder of the file; the working folder for rows given in Python."""
        if self.path is None:
            return Path()
        return self.path if self.path.is_dir() else self.path.parent

    def place(self, row: int) -> str:
        """`pets.csv:12`; `row 12` of rows given in Python."""
        return self.line(row) if self.path is None else f"{self.path}:{self.lines[row]}"

    def line(self, row: int) -> str:
        """The same without the file: `line 12`; `row 12` where there are no lines."""
        text = self.path is not None and self.path.suffix.lower() in text_table.FORMATS
        return f"{'line' if text else 'row'} {self.lines[row]}"

    def column(self, name: str, key: str) -> Column:
        """The cells of a column that the config asks for under `key`.

        Raises:
            DataError: There is none; the message lists those there are.
        """
        if name not in self.columns:
            near = nearest(name, self.columns)
            hint = f" Did you mean `{key}={near}`?" if near else ""
            columns = ", ".join(self.columns)
            raise DataError(f"{self.name} has no column '{name}' (`{key}`); columns: {columns}.{hint}")
        return self.columns[name]

    def identities(self, name: str | None) -> Column:
        """One distinct id a row: the column `name`, else the column `id` if there is one, else the row numbers.

        Raises:
            DataError: There is no such column, or an id is blank or repeated.
        """
        if name is None and "id" not in self.columns:
            return Column.of(map(str, range(1, len(self) + 1)))
        ids = self.column(name or "id", "dataset.id")
        first: dict[str, int] = {}
        for row, identity in enumerate(ids):
            if not identity.strip():
                raise DataError(
                    f"{self.place(row)}: the cell of column '{name or 'id'}' is blank; every row needs an id."
                )
            if first.setdefault(identity, row) != row:
                raise DataError(
                    f"{self.place(row)}: id '{identity}' is also on {self.line(first[identity])};"
                    f" {len(ids) - len(set(ids)):,} of {len(ids):,} rows repeat an id."
                )
        return ids

    def find_media(self, columns: Sequence[str], root: Path) -> tuple[dict[str, Store], bytes]:
        """Looks for all media of some columns, in the table itself or in files under `root`; opens none.

        Where a column of the table says their SHA-256 (see `digest_column`), it is compared whenever one is read.

        Returns:
            The store of each column, and SHA-256 over sizes.

        Raises:
            DataError: Some are not there; tells how many and the first five, a line a column.
        """
        stores = {name: self.stores.get(name) or Files(self.columns[name], root) for name in columns}
        for name in stores:
            if column := digest_column(name, columns, self.columns):
                stores[name] = Verified(stores[name], self.columns[column], column)
        digest, told = hashlib.sha256(), []
        for name, store in stores.items():
            faults, content = store.look()
            if faults:
                first = "; ".join(f"{self.line(row)}: {faults[row]}" for row in list(faults)[:5])
                told.append(f"{self.name}: {len(faults):,} of {len(self):,} rows have an unusable `{name}`: {first}.")
            digest.update(content)
        if told:
            raise DataError("\n".join(told))
        return stores, digest.digest()


def read(path: Path, encoding: str = "utf-8") -> Manifest:
    """Reads a table by its suffix, or by what is in a folder.

    Args:
        path: The file or folder.
        encoding: Of a table in text.

    Raises:
        ConfigError: No such encoding.
        DataError: It cannot be read, is empty, or breaks its format; names the line.
    """
    table = Manifest(path, *_content(path, encoding))
    if not len(table):
        raise DataError(f"{path} is empty; a table has one row a sample.")
    return table


def _content(path: Path, encoding: str) -> Content:
    suffix = path.suffix.lower()
    if path.is_dir():
        if (path / "dataset_dict.json").exists() or (path / "state.json").exists():
            return arrow.read(arrow.saved_parts(path))
        if tars := parts(path, ".tar"):
            return shards.read(tars, path)
        if tables := parts(path, ".parquet"):
            return arrow.read(tables)
        return class_folders.read(path)
    if suffix in text_table.FORMATS:
        return Content(*gather(text_table.blocks(path, encoding)))
    if suffix == ".parquet":
        return arrow.read([Part(path)])
    if suffix == ".tar":
        return shards.read([Part(path)], path.parent)
    known = ", ".join([*text_table.FORMATS, ".parquet", ".tar"])
    boxes = "; of boxes as COCO stores them make a table with scripts/boxes_to_table.py" if suffix == ".json" else ""
    raise DataError(f"{path}: '{suffix}' is not a table mmtrain reads; use one of {known}{boxes}.")


def given(rows: Sequence[GivenRow]) -> Manifest:
    """A table of rows given in Python, numbered from 1.

    Raises:
        DataError: There are none, or a cell is neither text, number nor None; names the row.
    """
    if not len(rows):
        raise DataError("no rows were given; a table has one row a sample.")
    return Manifest(None, *gather(_given_blocks(rows)))


def _given_blocks(rows: Sequence[GivenRow]) -> Blocks:
    for start in range(0, len(rows), BLOCK):
        numbers = range(start + 1, min(start + BLOCK, len(rows)) + 1)
        block = [_given_row(number, rows[number - 1]) for number in numbers]
        names = dict.fromkeys(name for row in block for name in row)
        yield numbers, {name: [row.get(name, "") for row in block] for name in names}


def _given_row(number: int, row: GivenRow) -> dict[str, str]:
    if not isinstance(row, Mapping):
        raise DataError(f"row {number} is a {type(row).__name__}, not a mapping from columns to cells.")
    cells = {}
    for name, value in row.items():
        finite = isinstance(value, str) or (isinstance(value, int | float) and math.isfinite(value))
        if not (value is None or finite) or BROKEN.search(f"{name}{value}"):
            raise DataError(
                f"row {number}: `{name}` is {str(value)[:40]!r} ({type(value).__name__}); give text or None."
            )
        cells[name] = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    return cells

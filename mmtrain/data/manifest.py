"""Reads a table (CSV, TSV, JSON lines; UTF-8; or rows in Python) into columns of strings exactly as they were written.

Nothing is guessed: `012`, `yes`, `1e5` and `null` stay what they are, and a fault is told with its line. Columns rather
than rows are kept, with equal cells of a column stored once, so that a million rows fit into a few hundred megabytes.
"""

from __future__ import annotations

import csv
import json
import math
import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmtrain.errors import DataError
from mmtrain.suggest import nearest

Lines = Iterator[tuple[int, str]]
Rows = Iterator[tuple[int, dict[str, str]]]
GivenRow = Mapping[str, str | float | None]
"""A row in Python, by column: None or a column left out is a blank cell; numbers serve for ids and labels."""

_BROKEN = re.compile("[\0\ud800-\udfff]")  # cannot be written as UTF-8 text again
_SHARED = 10_000  # distinct cells of a column up to which equal ones are stored once


@dataclass(frozen=True)
class Manifest:
    """A table; every column has one string a row, "" where the cell is blank.

    Args:
        path: The file, as the user named it; None: the rows were given in Python.
        columns: Cells by column name, in the order of the file.
        lines: The line of the file on which each row starts, or the number of the row.
    """

    path: Path | None
    columns: dict[str, list[str]]
    lines: array[int]

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def name(self) -> str:
        """What messages call the table: `pets.csv`."""
        return "the given rows" if self.path is None else str(self.path)

    @property
    def folder(self) -> Path:
        """The folder of the file; the working folder for rows given in Python."""
        return Path() if self.path is None else self.path.parent

    def place(self, row: int) -> str:
        """`pets.csv:12`; `row 12` of rows given in Python."""
        return self.line(row) if self.path is None else f"{self.path}:{self.lines[row]}"

    def line(self, row: int) -> str:
        """The same without the file: `line 12`."""
        return f"{'row' if self.path is None else 'line'} {self.lines[row]}"

    def column(self, name: str, key: str) -> list[str]:
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

    def identities(self, name: str | None) -> list[str]:
        """One distinct id a row: the column `name`, else the column `id` if there is one, else the row numbers.

        Raises:
            DataError: There is no such column, or an id is blank or repeated.
        """
        if name is None and "id" not in self.columns:
            return [str(number) for number in range(1, len(self) + 1)]
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


def read(path: Path) -> Manifest:
    """Reads a table by its suffix: .csv, .tsv, .jsonl, .ndjson.

    Raises:
        DataError: The file cannot be read, is empty, or breaks its format; names the line.
    """
    parse = _FORMATS.get(path.suffix.lower())
    if parse is None:
        raise DataError(f"{path}: '{path.suffix}' is not a table mmtrain reads; use one of {', '.join(_FORMATS)}.")
    table = _collected(path, parse(path, _lines(path)))
    if not len(table):
        raise DataError(f"{path} is empty; a table has one row a sample.")
    return table


def given(rows: Sequence[GivenRow]) -> Manifest:
    """A table of rows given in Python, numbered from 1.

    Raises:
        DataError: There are none, or a cell is neither text, number nor None; names the row.
    """
    if not len(rows):
        raise DataError("no rows were given; a table has one row a sample.")
    return _collected(None, ((number, _given_row(number, row)) for number, row in enumerate(rows, 1)))


def _collected(path: Path | None, rows: Rows) -> Manifest:
    columns: dict[str, list[str]] = {}
    shared: dict[str, dict[str, str]] = {}
    lines = array("q")
    for line, row in rows:
        for name in row:
            if name not in columns:
                columns[name], shared[name] = [""] * len(lines), {}
        for name, cells in columns.items():
            cell, known = row.get(name, ""), shared[name]
            cells.append(known.setdefault(cell, cell) if len(known) < _SHARED else known.get(cell, cell))
        lines.append(line)
    return Manifest(path, columns, lines)


def _given_row(number: int, row: GivenRow) -> dict[str, str]:
    if not isinstance(row, Mapping):
        raise DataError(f"row {number} is a {type(row).__name__}, not a mapping from columns to cells.")
    cells = {}
    for name, value in row.items():
        finite = isinstance(value, str) or (isinstance(value, int | float) and math.isfinite(value))
        if not (value is None or finite) or _BROKEN.search(f"{name}{value}"):
            raise DataError(
                f"row {number}: `{name}` is {str(value)[:40]!r} ({type(value).__name__}); give text or None."
            )
        cells[name] = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    return cells


def _lines(path: Path) -> Lines:
    """Numbered lines with their ends; they are decoded one by one, so that a bad byte is told with its place."""
    offset = 0
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                if number == 1 and raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
                    raise DataError(f"{path} is UTF-16; save it as UTF-8.")
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise DataError(
                        f"{path}:{number}: byte 0x{raw[error.start]:02x} at offset {offset + error.start} is not UTF-8;"
                        " save the table as UTF-8."
                    ) from None
                if "\0" in line:
                    raise DataError(f"{path}:{number}: a NUL byte at offset {offset + raw.index(0)}; is this a table?")
                offset += len(raw)
                yield number, line
    except OSError as error:
        raise DataError(f"cannot read the table {path}: {error.strerror}; check `dataset.path`.") from None


def _delimited(path: Path, lines: Lines, delimiter: str) -> Rows:
    reader = csv.reader((line for _, line in lines), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    start, rows = 1, 0
    try:
        for cells in reader:
            if header is None:
                header = cells
                twice = sorted({name for name in header if header.count(name) > 1})
                if twice:
                    raise DataError(f"{path}: {len(twice)} column names occur twice: {', '.join(map(repr, twice))}.")
            elif cells:  # an empty line is no row
                if len(cells) != len(header):
                    raise DataError(
                        f"{path}:{start}: {len(cells)} cells, but the header has {len(header)};"
                        " quote cells that hold the delimiter or a quote."
                    )
                rows += 1
                yield start, dict(zip(header, cells, strict=True))
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}: the row that starts on line {start}: {error}; is a quote left open?") from None
    if header and not rows:
        raise DataError(f"{path} has a header ({', '.join(header)}) but no rows.")


def _csv(path: Path, lines: Lines) -> Rows:
    return _delimited(path, lines, ",")


def _tsv(path: Path, lines: Lines) -> Rows:
    return _delimited(path, lines, "\t")


def _jsonl(path: Path, lines: Lines) -> Rows:
    for number, line in lines:
        if line.strip():
            try:
                # numbers stay the text that they were written as
                row = json.loads(line, object_pairs_hook=_object, parse_int=str, parse_float=str, parse_constant=str)
                if not isinstance(row, dict):
                    raise ValueError("the line is no object {...}")
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}:{number}: not a row of JSON lines: {error}.") from None
            yield number, row


def _object(pairs: list[tuple[str, object]]) -> dict[str, str]:
    row: dict[str, str] = {}
    for name, value in pairs:
        if name in row:
            raise ValueError(f"the key '{name}' occurs twice")
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif value is None:
            value = ""
        if not isinstance(value, str):
            raise ValueError(f"'{name}' holds a list or object; a cell is a string or number")
        if _BROKEN.search(value):
            raise ValueError(f"'{name}' holds a NUL or half a surrogate pair")
        row[name] = value
    return row


_FORMATS: dict[str, Callable[[Path, Lines], Rows]] = {".csv": _csv, ".tsv": _tsv, ".jsonl": _jsonl, ".ndjson": _jsonl}

"""Tables in text: CSV, TSV and JSON lines, as blocks of columns of strings exactly as they were written.

Nothing is guessed: `012`, `yes`, `1e5` and `null` stay what they are, and a fault is told with its line.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path

from mmtrain.data.tables.cells import BLOCK, Blocks, cell_of
from mmtrain.data.tables.encoding import check_text, codec
from mmtrain.errors import DataError


def blocks(path: Path, encoding: str) -> Blocks:
    """The rows of a file whose suffix is in FORMATS.

    Raises:
        ConfigError: No such encoding.
        DataError: The file cannot be read, or breaks its format; names the line.
    """
    name = codec(encoding)
    check_text(path, name)
    newline, parse = FORMATS[path.suffix.lower()]
    with path.open(encoding=name, newline=newline) as file:
        yield from parse(path, file)


def _delimited(path: Path, lines: Iterator[str], *, delimiter: str) -> Blocks:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header: list[str] = []
    start, starts, rows = 1, [], []
    empty = True
    try:
        for cells in reader:
            if not header:
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
                starts.append(start)
                rows.append(cells)
                if len(rows) == BLOCK:
                    yield starts, dict(zip(header, zip(*rows, strict=True), strict=True))
                    starts, rows, empty = [], [], False
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}: the row that starts on line {start}: {error}; is a quote left open?") from None
    if rows:
        yield starts, dict(zip(header, zip(*rows, strict=True), strict=True))
    elif header and empty:
        raise DataError(f"{path} has a header ({', '.join(header)}) but no rows.")


def _json_lines(path: Path, lines: Iterator[str]) -> Blocks:
    numbered = enumerate(lines, 1)
    while block := list(islice(numbered, BLOCK)):
        rows = {number: _numbered(path, number, line) for number, line in block if line.strip()}
        names = dict.fromkeys(name for row in rows.values() for name in row)
        yield list(rows), {name: [row.get(name, "") for row in rows.values()] for name in names}


def _numbered(path: Path, number: int, line: str) -> dict[str, str]:
    try:
        return json_row(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}:{number}: not a row of JSON lines: {error}.") from None


def json_row(text: str) -> dict[str, str]:
    """The cells of a JSON object; numbers stay the text that they were written as.

    Raises:
        ValueError: It is no object, has a key twice, or a value that no cell can hold.
        RecursionError: It is nested too deeply.
    """
    row = json.loads(text, object_pairs_hook=_distinct, parse_int=str, parse_float=str, parse_constant=str)
    if not isinstance(row, dict):
        raise ValueError("the text is no object {...}")
    if any(isinstance(value, list | dict) for value in row.values()):
        inner = json.loads(text)  # numbers in lists are numbers of JSON text again
        row = {name: inner[name] if isinstance(value, list | dict) else value for name, value in row.items()}
    return {name: cell_of(name, value) for name, value in row.items()}


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The pairs of a JSON object, none of whose keys may occur twice."""
    row: dict[str, object] = {}
    for name, value in pairs:
        if name in row:
            raise ValueError(f"the key '{name}' occurs twice")
        row[name] = value
    return row


FORMATS: Mapping[str, tuple[str, Callable[[Path, Iterator[str]], Blocks]]] = {
    ".csv": ("", partial(_delimited, delimiter=",")),
    ".tsv": ("", partial(_delimited, delimiter="\t")),
    ".jsonl": ("\n", _json_lines),
    ".ndjson": ("\n", _json_lines),
}
"""By suffix: how lines end, and what reads them."""

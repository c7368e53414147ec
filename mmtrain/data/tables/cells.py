"""Columns of a table: all cells of one in one block of UTF-8, not a string object each.

A list of a million strings takes some 60 MB beyond its text, and a forked worker that reads them writes their reference
counts, so that every worker comes to copy the whole list. A block has neither; a large one is a mapped temporary file
without a name, whose pages the processes share and the kernel takes back when memory is short.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import re
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from mmtrain.data.tables.files import Store
from mmtrain.errors import DiskError

BLOCK = 10_000  # rows that are handed on at a time
_IN_MEMORY = 2**20  # bytes of a column up to which no file is made
BROKEN = re.compile("[\0\ud800-\udfff]")  # cannot be written as UTF-8 text again

Blocks = Iterator[tuple[Sequence[int], Mapping[str, Sequence[str]]]]
"""Rows by the thousand: the number of each row (its line in the file), and the cells by column."""


class Column(Sequence[str]):
    """The cells of one column, in the order of the rows; equal to any sequence of equal strings.

    Attributes:
        digest: SHA-256 over the cells.
    """

    def __init__(self, block: bytes | mmap.mmap, lengths: array[int], digest: bytes) -> None:
        bounds = np.zeros(len(lengths) + 1, np.uint32 if len(block) < 2**32 else np.uint64)
        np.cumsum(lengths, out=bounds[1:])
        self._block, self._bounds = block, memoryview(bounds.data)  # read twice as fast as the array itself
        self.digest = digest

    @classmethod
    def of(cls, cells: Iterable[str]) -> Column:
        """A column of any strings that UTF-8 can hold."""
        cells = iter(cells)
        pieces = iter(lambda: list(islice(cells, BLOCK)), [])
        columns, _ = gather((range(len(piece)), {"": piece}) for piece in pieces)
        return columns.get("") or _Builder().column()

    def __len__(self) -> int:
        return len(self._bounds) - 1

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self[number] for number in range(*row.indices(len(self)))]
        if row < 0:
            row += len(self)
            if row < 0:
                raise IndexError("column index out of range")
        return self._block[self._bounds[row] : self._bounds[row + 1]].decode()

    def __iter__(self) -> Iterator[str]:
        block = self._block
        for start, end in pairwise(self._bounds):
            yield block[start:end].decode()

    def filled(self) -> NDArray[np.bool_]:
        """Whether each cell holds more than white space."""
        bounds = np.asarray(self._bounds)
        found = bounds[1:] > bounds[:-1]
        rows = np.flatnonzero(found)
        first = np.frombuffer(self._block, np.uint8)[bounds[rows]]  # of the bytes of a cell
        for row in rows[(first <= ord(" ")) | (first > 127)].tolist():  # others begin no white space
            found[row] = bool(self[row].strip())
        return found

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Column):
            return self.digest == other.digest
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(str.__eq__, self, other))

    def __repr__(self) -> str:
        return f"Column({self[:5]}{'...' if len(self) > 5 else ''})"

    def __reduce__(self) -> tuple[object, ...]:
        return Column.of, (list(self),)


def hashes(cells: Iterable[str]) -> NDArray[np.int64]:
    """Python's hash of each cell, 0 where it is blank: of a million distinct cells a set would take 100 MB."""
    return np.fromiter((hash(cell) if cell.strip() else 0 for cell in cells), np.int64)


class _Builder:
    """Takes cells and lets go of them."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  lives as long as the mapping
        self._lengths = array("I")
        self._digest = hashlib.sha256()

    def extend(self, cells: Sequence[str]) -> None:
        text = "".join(cells)
        block = text.encode()
        self._lengths.extend(map(len, cells) if len(text) == len(block) else (len(cell.encode()) for cell in cells))
        self._digest.update(block)
        self._file.write(block)

    def column(self) -> Column:
        size = self._file.tell()
        self._digest.update(self._lengths.tobytes())
        self._file.seek(0)
        large = size > _IN_MEMORY
        block = mmap.mmap(self._file.fileno(), size, access=mmap.ACCESS_READ) if large else self._file.read()
        self.close()  # the mapping stays
        return Column(block, self._lengths, self._digest.digest())

    def close(self) -> None:
        self._file.close()


class Content(NamedTuple):
    """What a table holds, in whatever form; the fields are those of `Manifest`."""

    columns: dict[str, Column]
    lines: array[int]
    stores: Mapping[str, Store] = {}
    kinds: Mapping[str, str] = {}
    notes: Sequence[str] = ()
    shards: Sequence[Sequence[int]] = ()


def gather(blocks: Iterable[tuple[Sequence[int], Mapping[str, Sequence[str]]]]) -> tuple[dict[str, Column], array[int]]:
    """Puts blocks of rows together; a column that a block lacks is blank there.

    Args:
        blocks: As in `Blocks`.

    Returns:
        The columns in the order in which they came up, and all row numbers.

    Raises:
        DiskError: The folder for temporary files is full, or cannot be written.
    """
    builders: dict[str, _Builder] = {}
    numbers = array("q")
    try:
        for lines, columns in blocks:
            for name in columns:
                if name not in builders:
                    builders[name] = _Builder()
                    builders[name].extend([""] * len(numbers))
            for name, builder in builders.items():
                builder.extend(columns[name] if name in columns else [""] * len(lines))
            numbers.extend(lines)
        return {name: builder.column() for name, builder in builders.items()}, numbers
    except OSError as error:
        raise DiskError(
            f"no room for the columns of a table in {tempfile.gettempdir()}: {error.strerror}; set TMPDIR to another."
        ) from None
    finally:
        for builder in builders.values():
            builder.close()


def cell_of(name: str, value: object) -> str:
    """A JSON value as a cell: nothing is blank, a list or object is its JSON text.

    Raises:
        ValueError: The value, or the name of its column, cannot be written as text.
    """
    if isinstance(value, str):
        cell = value
    elif value is None:
        cell = ""
    else:
        cell = json.dumps(value, ensure_ascii=False)
    if BROKEN.search(name) or BROKEN.search(cell):
        raise ValueError(f"'{name[:80]}' holds a NUL or half a surrogate pair".encode(errors="replace").decode())
    return cell

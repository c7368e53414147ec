"""Media that lie in a column of Parquet or Arrow files: found by row, never loaded as a whole.

A Parquet file is read by row groups, the last ones of which are kept; an Arrow file is mapped into memory, and the
kernel reads what is touched of it.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

from mmtrain.data.tables.files import LARGEST
from mmtrain.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

Leaf = tuple[str, ...]
"""Where in a row the bytes are: ("image",), or ("image", "bytes") in a struct."""

_KEPT = 2**28  # bytes of row groups that a column keeps decoded; one that has more by itself is refused


def pyarrow() -> ModuleType:
    """The library.

    Raises:
        DataError: It is not installed.
    """
    try:
        import pyarrow.compute
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError:
        raise DataError("Parquet and Arrow files need pyarrow: pip install 'mmtrain[parquet]'.") from None
    library: ModuleType = pyarrow
    return library


class File(Protocol):
    """A file in pieces, each of which can be read alone.

    Attributes:
        path: The file.
        schema: Its columns.
        counts: Rows of each piece.
    """

    path: Path
    schema: pa.Schema
    counts: Sequence[int]

    def batches(self, piece: int, leaves: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """The rows of some columns, or of parts of structs (`image.path`), in order."""

    def values(self, piece: int, leaf: Leaf) -> pa.ChunkedArray:
        """The bytes of all rows of a piece."""

    def present(self, piece: int, leaf: Leaf) -> list[bool]:
        """Which rows have bytes."""

    def size(self, piece: int, leaf: Leaf) -> str:
        """What is known of the size of the content without reading it."""


class ParquetFile:
    """A piece is a row group."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with pyarrow().parquet.ParquetFile(path) as file:
            self._metadata, self.schema = file.metadata, file.schema_arrow
        self.counts: Sequence[int] = [
            self._metadata.row_group(group).num_rows for group in range(self._metadata.num_row_groups)
        ]

    def batches(self, piece: int, leaves: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        with self._open() as file:
            yield from file.iter_batches(rows, [piece], list(leaves), use_threads=False)

    def values(self, piece: int, leaf: Leaf) -> pa.ChunkedArray:
        with self._open() as file:
            return _inner(file.read_row_group(piece, [".".join(leaf)], use_threads=False), leaf)

    def present(self, piece: int, leaf: Leaf) -> list[bool]:
        _, nulls = self._statistics(piece, leaf)
        if nulls in (0, self.counts[piece]):
            return [nulls == 0] * self.counts[piece]
        table = pyarrow().Table
        batches = self.batches(piece, [".".join(leaf)], 64)  # few at a time: they hold the media
        return [one for batch in batches for one in _inner(table.from_batches([batch]), leaf).is_valid().to_pylist()]

    def size(self, piece: int, leaf: Leaf) -> str:
        size, nulls = self._statistics(piece, leaf)
        if size > _KEPT:
            raise DataError(
                f"{self.path}: a row group of `{leaf[0]}` has {size / 2**20:,.0f} MiB, and each row read decodes one;"
                " write the table with small ones, such as df.to_parquet(..., row_group_size=100)."
            )
        return f"{self.counts[piece]} {nulls} {size}"

    def _open(self) -> pa.parquet.ParquetFile:
        """Opened for each use: processes share no file handle, and a table of many files needs no more than one."""
        return pyarrow().parquet.ParquetFile(self.path, metadata=self._metadata)

    def _statistics(self, piece: int, leaf: Leaf) -> tuple[int, int | None]:
        """Bytes of a column in a row group, decompressed, and its rows without any."""
        group = self._metadata.row_group(piece)
        chunks = map(group.column, range(group.num_columns))
        chunk = next(chunk for chunk in chunks if chunk.path_in_schema == ".".join(leaf))
        known = chunk.statistics is not None and chunk.statistics.has_null_count
        return chunk.total_uncompressed_size, chunk.statistics.null_count if known else None


class ArrowFile:
    """All is one piece."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.schema = self._table.schema
        self.counts: Sequence[int] = [len(self._table)]

    def batches(self, piece: int, leaves: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        names = dict.fromkeys(leaf.split(".")[0] for leaf in leaves)
        yield from self._table.select(list(names)).to_batches(max_chunksize=rows)

    def values(self, piece: int, leaf: Leaf) -> pa.ChunkedArray:
        return _inner(self._table.select([leaf[0]]), leaf)

    def present(self, piece: int, leaf: Leaf) -> list[bool]:
        found: list[bool] = self.values(piece, leaf).is_valid().to_pylist()
        return found

    def size(self, piece: int, leaf: Leaf) -> str:
        return str(pyarrow().compute.binary_length(self.values(piece, leaf)).to_pylist())

    @cached_property
    def _table(self) -> pa.Table:
        with pyarrow().memory_map(str(self.path)) as source:
            table = pyarrow().ipc.open_stream(source).read_all()
        table.validate(full=True)  # offsets that a damaged file gets wrong would be followed anywhere
        return table

    def __reduce__(self) -> tuple[object, ...]:
        return ArrowFile, (self.path,)


class Embedded:
    """The media of a column, a `Store`.

    Args:
        files: The files of the table, in order.
        leaf: Where in a row the bytes are.
    """

    def __init__(self, files: Sequence[File], leaf: Leaf) -> None:
        self._leaf = leaf
        self._pieces = [(file, piece) for file in files for piece in range(len(file.counts))]
        self._starts = list(accumulate((file.counts[piece] for file, piece in self._pieces), initial=0))
        self._kept: OrderedDict[int, pa.ChunkedArray] = OrderedDict()

    def look(self) -> tuple[dict[int, str], bytes]:
        digest = hashlib.sha256()
        for file, piece in self._pieces:
            digest.update(f"{file.size(piece, self._leaf)}\0".encode())
        return {}, digest.digest()

    def size(self, row: int) -> int:
        return len(self._content(row))

    def read(self, row: int) -> bytes:
        content = self._content(row)
        if len(content) > LARGEST:
            raise ValueError(f"{len(content) / 2**30:.1f} GiB are more than 1 GiB")
        return bytes(content)

    def _content(self, row: int) -> pa.Buffer:
        number = bisect_right(self._starts, row) - 1
        try:
            return self._values(number)[row - self._starts[number]].as_buffer()
        except (pyarrow().ArrowException, OSError) as error:
            raise ValueError(f"cannot be read: {' '.join(str(error).split())}") from None

    def _values(self, number: int) -> pa.ChunkedArray:
        if number not in self._kept:
            file, piece = self._pieces[number]
            self._kept[number] = file.values(piece, self._leaf)
            while len(self._kept) > 1 and self._memory() > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(number)
        return self._kept[number]

    def _memory(self) -> int:
        return sum(
            values.nbytes for number, values in self._kept.items() if isinstance(self._pieces[number][0], ParquetFile)
        )


def _inner(table: pa.Table, leaf: Leaf) -> pa.ChunkedArray:
    """The bytes of a table's first column; in a struct that is null, they are null."""
    column = table.column(0)
    if len(leaf) == 1:
        return column
    return pyarrow().compute.struct_field(column, leaf[1])

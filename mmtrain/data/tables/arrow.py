"""Parquet tables and Hugging Face datasets saved on disk, by pyarrow; media in them stay there and are read by row.

A column of bytes, or of Hugging Face's structs {bytes, path}, holds media. The others become text: numbers as Python
writes them, `true` and `false`, nulls as blanks, lists and structs as JSON, Hugging Face's class labels by their names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from mmtrain.data.tables.arrow_media import ArrowFile, Embedded, File, Leaf, ParquetFile, pyarrow
from mmtrain.data.tables.cells import BLOCK, Blocks, Content, cell_of, gather
from mmtrain.data.tables.parts import Part
from mmtrain.errors import DataError
from mmtrain.paths import safe_path

if TYPE_CHECKING:
    import pyarrow as pa

_MEDIA = {"Image": "image", "Audio": "audio", "Video": "video"}  # Hugging Face's name, and ours
Feature = Mapping[str, object]
"""Hugging Face's description of a column."""


def read(parts: Sequence[Part]) -> Content:
    """The rows of .parquet and .arrow files with equal columns, one after another.

    Raises:
        DataError: pyarrow is not installed, or a file cannot be read.
    """
    path = parts[0].path
    try:
        files: list[File] = []
        for path, _ in parts:
            files.append(ParquetFile(path) if path.suffix.lower() == ".parquet" else ArrowFile(path))
            if not files[-1].schema.equals(files[0].schema):
                raise DataError(f"{path} has other columns than {parts[0].path}: {', '.join(files[-1].schema.names)}.")
        return _content(parts, files)
    except (pyarrow().ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the table {path}: {' '.join(str(error).split())[:200]}.") from None


def saved_parts(folder: Path) -> list[Part]:
    """The files of what `save_to_disk` of Hugging Face's `datasets` has written: a dataset, or one for each split.

    Raises:
        DataError: A file of it is missing or damaged, or a path in it leads out of the folder.
    """
    described = folder / "dataset_dict.json"
    try:
        if not described.exists():
            return _saved_files(folder, None)
        splits = json.loads(described.read_text(encoding="utf-8"))["splits"]
        return [
            part for split in splits for part in _saved_files(safe_path(folder, f"{split}/state.json").parent, split)
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder} is no complete dataset of Hugging Face: {type(error).__name__}: {error}.") from None


def _saved_files(folder: Path, split: str | None) -> list[Part]:
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    return [Part(safe_path(folder, entry["filename"]), split) for entry in state["_data_files"]]


def _content(parts: Sequence[Part], files: Sequence[File]) -> Content:
    schema = files[0].schema
    if len(set(schema.names)) < len(schema.names):
        twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
        raise DataError(f"{files[0].path}: {len(twice)} column names occur twice: {', '.join(map(repr, twice))}.")
    divided = any(split is not None for _, split in parts)
    if divided and "split" in schema.names:
        raise DataError(f"{files[0].path} has a column `split`, and its folder or name says a split too; rename one.")
    leaves = {field.name: leaf for field in schema if (leaf := _leaf(field)) is not None}
    unread = [field.name for field in schema if field.name not in leaves and not _is_text(field.type)]
    texts = [name for name in schema.names if name not in unread and leaves.get(name) != (name,)]
    wanted = [f"{name}.path" if name in leaves else name for name in texts]  # of media never the bytes
    features = _features(schema)
    inside: dict[str, set[bool]] = {name: set() for name in leaves}

    def blocks() -> Blocks:
        start = 1
        for part, file in zip(parts, files, strict=True):
            for piece in range(len(file.counts)):
                present = {name: iter(file.present(piece, leaf)) for name, leaf in leaves.items()}
                for count, batch in _batches(file, piece, wanted):
                    columns = {
                        name: _cells(file, batch, name, features.get(name, {}), is_media=name in leaves)
                        for name in texts
                    }
                    for name, there in present.items():
                        columns[name] = _places(start, count, there, columns.get(name), inside[name])
                    if divided:
                        columns["split"] = [part.split or ""] * count
                    yield range(start, start + count), columns
                    start += count

    columns, numbers = gather(blocks())
    for name, found in inside.items():
        if len(found) > 1:
            raise DataError(f"{files[0].path}: `{name}` holds the bytes of some files and only the paths of others.")
    kinds = {
        name: _MEDIA[str(feature["_type"])] for name, feature in features.items() if feature.get("_type") in _MEDIA
    }
    return Content(
        {name: columns[name] for name in (*schema.names, "split") if name in columns},
        numbers,
        {name: Embedded(files, leaf) for name, leaf in leaves.items() if True in inside[name]},
        {name: kind for name, kind in kinds.items() if name in columns},
        [f"columns that are neither text nor media: {', '.join(unread)}"] if unread else [],
        _pieces(files) if any(True in found for found in inside.values()) else (),
    )


def _pieces(files: Sequence[File]) -> list[range]:
    """The rows of each piece of each file."""
    ends = list(accumulate(count for file in files for count in file.counts))
    return [range(start, end) for start, end in pairwise([0, *ends])]


def _batches(file: File, piece: int, wanted: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch | None]]:
    """Some thousand rows at a time, with their number; None where no column is wanted."""
    if wanted:
        yield from ((batch.num_rows, batch) for batch in file.batches(piece, wanted, BLOCK))
    else:
        rows = range(file.counts[piece])
        yield from ((len(rows[start : start + BLOCK]), None) for start in rows[::BLOCK])


def _places(
    start: int, count: int, present: Iterator[bool], paths: Sequence[str] | None, inside: set[bool]
) -> list[str]:
    """The cells of a column of media, distinct where the bytes are in the table: its row and the name it was given.

    Args:
        start: The number of the first row.
        count: Rows.
        present: Whether each row has bytes.
        paths: What each row says of the file's name; None: nothing.
        inside: Gets True where the table has the bytes of a file, False where it has a path only.
    """
    cells = []
    for row in range(count):
        path = paths[row] if paths is not None else ""
        there = next(present)
        if there or path.strip():
            inside.add(there)
        name = path.replace("\\", "/").rpartition("/")[2]
        cells.append((f"{start + row}/{name}" if name else f"{start + row}.bytes") if there else path)
    return cells


def _cells(file: File, batch: pa.RecordBatch, name: str, feature: Feature, *, is_media: bool) -> list[str]:
    arrow, column = pyarrow(), batch.column(name)
    kinds = arrow.types
    if is_media:
        column = arrow.compute.struct_field(column, "path")
    if kinds.is_dictionary(column.type):
        column = column.dictionary_decode()
    if kinds.is_temporal(column.type) or kinds.is_decimal(column.type):
        column = column.cast(arrow.string())
    values = column.to_pylist()
    try:
        if feature.get("_type") == "ClassLabel":
            names = cast(list[str], feature["names"])
            values = [None if value is None or value == -1 else names[range(len(names))[value]] for value in values]
        elif kinds.is_float32(column.type) or kinds.is_float16(column.type):
            # the shortest number that is this one at its own precision: 0.1, not 0.10000000149011612
            short = np.float32 if kinds.is_float32(column.type) else np.float16
            values = [None if value is None else float(str(short(value))) for value in values]
        return [cell_of(name, value) for value in values]
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise DataError(f"{file.path}: column `{name}`: {error}.") from None


def _features(schema: pa.Schema) -> dict[str, Feature]:
    """How Hugging Face's `datasets` described the columns when it wrote the file; empty for files of others."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _leaf(field: pa.Field) -> Leaf | None:
    """Where the bytes of a column of media are; None: it is of another type."""
    kinds = pyarrow().types
    if kinds.is_binary(field.type) or kinds.is_large_binary(field.type):
        return (field.name,)
    if kinds.is_struct(field.type) and set(field.type.names) == {"bytes", "path"}:
        binary = field.type.field("bytes").type
        return (field.name, "bytes") if kinds.is_binary(binary) or kinds.is_large_binary(binary) else None
    return None


def _is_text(kind: pa.DataType) -> bool:
    """Whether all of a type can be written as text."""
    kinds = pyarrow().types
    if kinds.is_dictionary(kind):
        return _is_text(kind.value_type)
    if kinds.is_nested(kind):
        return not kinds.is_union(kind) and all(_is_text(kind.field(number).type) for number in range(kind.num_fields))
    simple = (kinds.is_string, kinds.is_large_string, kinds.is_string_view, kinds.is_boolean, kinds.is_integer)
    others = (kinds.is_floating, kinds.is_date, kinds.is_time, kinds.is_timestamp, kinds.is_decimal, kinds.is_null)
    return any(of(kind) for of in (*simple, *others))

"""Shards: tar files whose members of one name make up a sample, as webdataset writes them; each is a row of a table.

`0001.jpg`, `0001.txt` and `0001.cls` are one sample; its key is the name up to the first dot. Suffixes become columns:
pictures `image`, sounds `audio`, .txt `text`, .cls `label`, .json one column a key. What stands between key and suffix
follows: `0001.left.jpg` is `image_left`. The format: https://github.com/webdataset/webdataset.
"""

from __future__ import annotations

import hashlib
import os
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path

from mmtrain.data.tables.cells import BLOCK, Blocks, Content, cell_of, gather
from mmtrain.data.tables.files import LARGEST, kind_by_suffix
from mmtrain.data.tables.parts import Part
from mmtrain.data.tables.tar_index import Index, Member, index
from mmtrain.data.tables.text_table import json_row
from mmtrain.errors import DataError

_NAME = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)")  # key and suffix: `cats/0001` and `left.jpg`


class Members:
    """The media of one column in tar files, a `Store`.

    Args:
        shards: The files, with their sizes and times of change.
    """

    def __init__(self, shards: Sequence[tuple[Path, int, int]]) -> None:
        self._shards = shards
        self._shard, self._offset, self._size = array("i"), array("q"), array("q")  # one a row; a size of -1: no media

    def append(self, row: int, shard: int, member: Member) -> None:
        """The media of a row, which is later than all before."""
        self.fill(row)
        self._shard.append(shard)
        self._offset.append(member.offset)
        self._size.append(member.size)

    def fill(self, rows: int) -> None:
        """Makes it so many rows, with none in those added."""
        missing = rows - len(self._size)
        self._shard.extend([0] * missing)
        self._offset.extend([0] * missing)
        self._size.extend([-1] * missing)

    def look(self) -> tuple[dict[int, str], bytes]:
        large = {row: size for row, size in enumerate(self._size) if size > LARGEST}
        faults = {row: f"the member has {size / 2**30:.1f} GiB, more than 1 GiB" for row, size in large.items()}
        return faults, hashlib.sha256(self._size.tobytes()).digest()

    def size(self, row: int) -> int:
        return self._size[row]

    def read(self, row: int) -> bytes:
        path, size, changed = self._shards[self._shard[row]]
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if (status.st_size, status.st_mtime_ns) != (size, changed):
                raise ValueError(f"{path.name} has changed since it was indexed")
            file.seek(self._offset[row])
            return file.read(self._size[row])


def read(parts: Sequence[Part], root: Path) -> Content:
    """The samples of all shards, one after another.

    Args:
        parts: The shards.
        root: The folder they are in; ids and cells start with their paths below it.

    Raises:
        DataError: A shard cannot be read, or a sample has two members for one column.
    """
    shards: list[tuple[Path, int, int]] = []
    stores: dict[str, Members] = {}
    unread: Counter[str] = Counter()
    ranges: list[range] = []

    def rows() -> Iterator[dict[str, str]]:
        row = first = 0
        for number, (path, split) in enumerate(parts):
            found, name = index(path), path.relative_to(root).as_posix()
            shards.append((path, found.size, found.changed))
            for key, members in _samples(path, found):
                cells = {} if split is None else {"split": split}
                for suffix, member in members:
                    column, texts = _columns(path, suffix, member)
                    if member.text is None and column:
                        stores.setdefault(column, Members(shards)).append(row, number, member)
                        texts = {column: f"{name}/{member.name}"}
                    elif not column:
                        unread[f".{suffix}"] += 1
                    for title, cell in texts.items():
                        if cells.setdefault(title, cell) != cell:
                            raise DataError(f"{path}: sample '{key}' has two different cells for `{title}`.")
                yield {"id": f"{name.removesuffix('.tar')}/{key}", **cells}
                row += 1
            ranges.append(range(first, row))
            first = row
        for store in stores.values():
            store.fill(row)

    def blocks() -> Blocks:
        all_rows, start = rows(), 1
        while block := list(islice(all_rows, BLOCK)):
            names = dict.fromkeys(name for row in block for name in row)
            yield range(start, start + len(block)), {name: [row.get(name, "") for row in block] for name in names}
            start += len(block)

    columns, numbers = gather(blocks())
    kinds = {name: name.split("_")[0] for name in stores}
    told = ", ".join(f"{count:,} {suffix}" for suffix, count in unread.most_common(5))
    notes = [f"members of shards not read: {told}"] if told else []
    return Content(columns, numbers, dict(stores), kinds, notes, ranges)


def _samples(path: Path, found: Index) -> Iterator[tuple[str, list[tuple[str, Member]]]]:
    """Members by key, in order; those of a key must follow one another, and hidden files are none."""
    done: set[str] = set()
    named = [(_NAME.fullmatch(member.name), member) for member in found.members]
    for key, group in groupby(
        ((match[1], match[2], member) for match, member in named if match), lambda entry: entry[0]
    ):
        if key in done:
            raise DataError(f"{path}: the members of sample '{key}' do not follow one another; sort them by name.")
        done.add(key)
        yield key, [(suffix.lower(), member) for _, suffix, member in group]


def _columns(path: Path, suffix: str, member: Member) -> tuple[str, dict[str, str]]:
    """The column that a suffix means ("" where it is none), and the cells that a text holds."""
    *between, last = suffix.split(".")
    kind = {"txt": "text", "cls": "label", "json": "json"}.get(last) or kind_by_suffix(last) or ""
    column = "_".join([kind, *between]) if kind else ""
    if member.text is None:
        return column, {}
    try:
        text = json_row(member.text) if kind == "json" else {column: cell_of(column, member.text)}
        return column, {name: cell.strip() if kind == "label" else cell for name, cell in text.items()}
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: member '{member.name}': {error}.") from None

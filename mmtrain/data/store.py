"""Decoded samples kept on disk, so that a picture or a sound is decoded once and read from then on.

Each way of decoding has a folder of two files that only grow: `samples`, the values one after another, and `index`, a
record of 64 bytes for each. A sample is found by the content of its cell, so files may move, change or have copies. Any
number of runs and workers share a folder without locks: each appends the values by one write and their record by
another, and both carry checksums: what a crash has left half is not seen, and what a disk has damaged is decoded again.
The files are read and not mapped, since a mapped file that somebody cuts short would end the process.
"""

from __future__ import annotations

import errno
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mmtrain.contracts import Cell
from mmtrain.largefile import Content, sha256_of
from mmtrain.report import say
from mmtrain.wholefile import write_whole

RECIPE = "recipe.txt"
SAMPLES = "samples"
INDEX = "index"
RESERVE = 2**30  # bytes of the disk left free, for checkpoints among others
_DTYPES = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64)
_RECORD = struct.Struct("<16sQQI5IBBxx")  # key; where the values start, their bytes and CRC; shape, dtype, dimensions
_DIMENSIONS = 5  # the most
_SIZE = _RECORD.size + 4  # a record and its own CRC
_MERGE = 10_000  # records looked up in a dict before they join the sorted array, which takes a fifth of the memory


def key_of(cell: Cell) -> bytes:
    """What a sample is found by: the first 16 bytes of SHA-256 over the content of its cell."""
    pieces: list[Content] = []
    for part in cell if isinstance(cell, tuple) else (cell,):
        content = part.encode() if isinstance(part, str) else part
        pieces += [b"-"] if content is None else [b"%d:" % len(content), content]
    return sha256_of(*pieces).digest()[:16]


def size_of(folder: Path) -> int:
    """The bytes on disk of a store, which others may write to or clear meanwhile."""
    size = 0
    for name in (RECIPE, SAMPLES, INDEX):
        with suppress(FileNotFoundError):
            size += (folder / name).stat().st_size
    return size


class Store:
    """The samples of one way of decoding.

    Args:
        folder: Its own; made when the first sample comes.
        recipe: What decoding depends on besides the cell, for people who look into the folder.
    """

    def __init__(self, folder: Path, recipe: str) -> None:
        self.folder, self.recipe = folder, recipe
        self._samples, self._index = (f"{folder}/{name}" for name in (SAMPLES, INDEX))  # a Path is slow to make
        self._told = self._closed = False  # of a damaged sample; for writing, since the disk is full or read-only
        self._fresh: dict[bytes, bytes] = {}  # records by key
        self._records = np.empty((0, _SIZE), np.uint8)  # those that came before them
        self._keys, self._order = np.empty(0, np.uint64), np.empty(0, np.int64)  # sorted, and where in `_records`
        self._inode = self._seen = 0  # which file the index was, and how many bytes of it have been read
        self._follow()

    def __len__(self) -> int:
        return len(self._records) + len(self._fresh)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return size_of(self.folder)

    def decoded(self, cell: Cell, decode: Callable[[Cell], Tensor]) -> Tensor:
        """What `decode` makes of the cell, from the store where it is there.

        Raises:
            ValueError: As `decode` does; nothing is kept of a cell that cannot be decoded.
        """
        key = key_of(cell)
        values = self.get(key)
        if values is None:
            values = decode(cell)
            self.put(key, values)
        return values

    def get(self, key: bytes) -> Tensor | None:
        """The values kept under a key; None where there are none, or damaged ones."""
        found = self._lookup(key)
        return None if found is None else found[1]

    def place(self, key: bytes) -> tuple[int, tuple[int, ...]] | None:
        """Where in the file `samples` the values of a key start, and their shape; None as in `get`."""
        found = self._lookup(key)
        return None if found is None else (found[0], tuple(found[1].shape))

    def _lookup(self, key: bytes) -> tuple[int, Tensor] | None:
        record = self._find(key)
        if record is None and self._follow():
            record = self._find(key)
        if record is None:
            return None
        _, start, size, checksum, *shape, dtype, dimensions = _RECORD.unpack(record)
        data = self._read(start, size)
        if data is None or zlib.crc32(data) != checksum:
            if not self._told:
                say(f"note: the cache {self.folder} holds damaged samples; they are made again")
            self._told = True
            return None
        return start, torch.frombuffer(data, dtype=_DTYPES[dtype]).view(shape[:dimensions])

    def put(self, key: bytes, values: Tensor) -> None:
        """Keeps values under a key, the later ones where there are some; what the format cannot hold is not kept."""
        if self._closed or values.dtype not in _DTYPES or not values.numel() or values.dim() > _DIMENSIONS:
            return
        data = values.contiguous().numpy().tobytes()
        shape = (*values.shape, *[0] * (_DIMENSIONS - values.dim()))
        try:
            self._make()
            start = _append(self._samples, data, align=values.element_size())
            kind = _DTYPES.index(values.dtype)
            record = _RECORD.pack(key, start, len(data), zlib.crc32(data), *shape, kind, values.dim())
            _append(self._index, record + zlib.crc32(record).to_bytes(4, "little"), align=_SIZE)
        except FileNotFoundError:
            return  # cleared between one call and the next; the next sample makes the folder anew
        except OSError as error:
            self._closed = True
            say(f"note: nothing more is kept in the cache {self.folder}: {error.strerror}")
            return
        self._follow()

    def _make(self) -> None:
        """Makes the folder, also where it has been cleared meanwhile, and asks whether the disk has room."""
        if not (self.folder / RECIPE).is_file():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self.folder / RECIPE, self.recipe)
        if shutil.disk_usage(self.folder).free < RESERVE:
            raise OSError(errno.ENOSPC, f"less than {RESERVE / 2**30:.0f} GiB of the disk is free")

    def _read(self, start: int, size: int) -> bytearray | None:
        """Bytes of the samples; None where the file does not have them."""
        try:
            with open(self._samples, "rb", buffering=0) as file:
                if start + size > os.fstat(file.fileno()).st_size:
                    return None
                data = bytearray(size)
                file.seek(start)
                file.readinto(data)
                return data
        except OSError:
            return None

    def _find(self, key: bytes) -> bytes | None:
        """The newest record of a key, without its CRC."""
        record = self._fresh.get(key)
        if record is None:
            at = int(np.searchsorted(self._keys, np.frombuffer(key, "<u8", 1)[0], side="right")) - 1
            record = self._records[self._order[at]].tobytes() if at >= 0 else b""
        sound = record[:16] == key and zlib.crc32(record[:-4]) == int.from_bytes(record[-4:], "little")
        return record[:-4] if sound else None

    def _follow(self) -> bool:
        """Takes in the records that were added since, by whatever process; False where there are none."""
        try:
            with open(self._index, "rb", buffering=0) as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._inode or status.st_size < self._seen:
                    self._inode, self._seen, self._fresh = status.st_ino, 0, {}  # the one before was cleared
                    self._keys, self._records = self._keys[:0], self._records[:0]
                if status.st_size - self._seen < _SIZE:
                    return False
                file.seek(self._seen)
                new = file.read((status.st_size - self._seen) // _SIZE * _SIZE)
        except OSError:
            return False
        self._seen += len(new)
        if len(self._fresh) + len(new) // _SIZE <= _MERGE:
            self._fresh |= {new[at : at + 16]: new[at : at + _SIZE] for at in range(0, len(new), _SIZE)}
            return True
        records = [
            self._records,
            *(np.frombuffer(b, np.uint8).reshape(-1, _SIZE) for b in (*self._fresh.values(), new)),
        ]
        self._records = np.concatenate(records)
        keys = np.ascontiguousarray(self._records[:, :8]).view("<u8").ravel()
        self._order = np.argsort(keys, kind="stable")  # of equal keys the newest is the last
        self._keys = keys[self._order]
        self._fresh = {}
        return True


def _append(path: str, data: bytes, align: int = 1) -> int:
    """Adds data to the end of a file by one write; returns where it starts."""
    with open(path, "ab", buffering=0) as file:
        padding = bytes(-file.seek(0, os.SEEK_END) % align)  # after a record that a crash has cut
        if file.write(padding + data) != len(padding) + len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return file.tell() - len(data)

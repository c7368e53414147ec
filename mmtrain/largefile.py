"""The content of a file: its bytes, or a large one left where it is."""

from __future__ import annotations

import hashlib
import os
import weakref
from pathlib import Path


class LargeFile:
    """The content of a file that is too large to hold, as bytes where it is sliced.

    Args:
        path: Of the file; it is opened at once, and closed with the last reference to this.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        weakref.finalize(self, self._file.close)
        self._size = self._file.seek(0, os.SEEK_END)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self._size)
        self._file.seek(start)
        return self._file.read(max(0, stop - start))


Content = bytes | LargeFile
"""Of a file: it has a length, and its slices are bytes."""

_PIECE = 2**20  # bytes


def sha256_of(*contents: Content) -> hashlib._Hash:
    """SHA-256 over contents one after the other, of large files a MiB at a time."""
    digest = hashlib.sha256()
    for content in contents:
        for start in range(0, len(content), _PIECE):
            digest.update(content[start : start + _PIECE])
    return digest

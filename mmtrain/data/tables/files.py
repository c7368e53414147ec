"""Where the media of a column come from: files under a folder, or the table itself.

All are looked for before anything slow starts, so that a missing one is told in seconds.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Collection, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

from mmtrain.largefile import Content, sha256_of
from mmtrain.paths import plain_sizes, safe_read, safe_size

LARGEST = 2**30  # bytes of a file: it is read whole
_AT_ONCE = 1000  # files that are looked for together

SUFFIXES = {
    "image": ("jpg", "jpeg", "png", "webp", "bmp", "gif"),
    "audio": ("wav", "flac", "ogg", "mp3"),
    "video": ("mp4", "m4v", "mov", "mkv", "webm", "avi"),
    "features": ("npy", "npz"),
}
"""How the names of files of each kind end."""
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_KINDS = {suffix: kind for kind, suffixes in SUFFIXES.items() for suffix in suffixes}


def kind_by_suffix(path: str) -> str | None:
    """The kind of modality that a file is by its name: `cats/1.PNG` is an image."""
    return _KINDS.get(path.rpartition(".")[2].lower())


class Store(Protocol):
    """The media of one column, by row."""

    def look(self) -> tuple[dict[int, str], bytes]:
        """Looks for the media of all rows; opens none.

        Returns:
            What is wrong, by row, and SHA-256 over the sizes, -1 where a row has none.
        """

    def size(self, row: int) -> int:
        """Bytes of the content; errors as in `read`."""

    def read(self, row: int) -> Content:
        """The content.

        Raises:
            ValueError: It cannot be read, or is larger than LARGEST.
        """


class Files:
    """Cells are paths of files; relative, and not to be left by them: `root`.

    Args:
        cells: One path a row; blank where the row has none.
        root: The folder, resolved.
    """

    def __init__(self, cells: Sequence[str], root: Path) -> None:
        self.cells = cells
        self.root = root
        self._folders = set[str]()  # those that have been found to lie under the root

    def look(self) -> tuple[dict[int, str], bytes]:
        cells, sizes = iter(self.cells), array("q")
        faults: dict[int, str] = {}
        while block := list(islice(cells, _AT_ONCE)):
            start = len(sizes)
            found = plain_sizes(self.root, block, self._folders)
            if found is None or max(found) > LARGEST:
                found = [self._look(start + place, cell, faults) for place, cell in enumerate(block)]
            sizes.extend(found)
        return faults, hashlib.sha256(sizes.tobytes()).digest()

    def _look(self, row: int, cell: str, faults: dict[int, str]) -> int:
        """The size of one, -1 where the cell is blank or what is wrong with it is noted."""
        try:
            size = safe_size(self.root, cell, self._folders) if cell.strip() else -1
        except ValueError as error:
            faults[row] = str(error)
            return -1
        if size > LARGEST:
            faults[row] = f"{cell[:80]!r} has {size / 2**30:.1f} GiB, more than 1 GiB"
        return size

    def size(self, row: int) -> int:
        return safe_size(self.root, self.cells[row], self._folders)

    def read(self, row: int) -> Content:
        return safe_read(self.root, self.cells[row], max_bytes=LARGEST)


class Verified:
    """The media of another store, each of which must have the SHA-256 that the table says: damage does not pass unseen.

    A decoder notices few of the bits that a disk or a transfer has turned round.

    Args:
        store: Where the media come from.
        digests: 64 hexadecimal digits a row, in a column called `column`; blank where a row says none.
    """

    def __init__(self, store: Store, digests: Sequence[str], column: str) -> None:
        self._store, self._digests, self._column = store, digests, column

    def look(self) -> tuple[dict[int, str], bytes]:
        faults, sizes = self._store.look()
        digest = hashlib.sha256(sizes)
        for row, told in enumerate(self._digests):
            digest.update(f"{told}\0".encode())
            if told.strip() and not _SHA256.fullmatch(told.strip()):
                faults.setdefault(row, f"`{self._column}` is {told[:70]!r}, not a SHA-256 of 64 hexadecimal digits")
        return faults, digest.digest()

    def size(self, row: int) -> int:
        return self._store.size(row)

    def read(self, row: int) -> Content:
        content, told = self._store.read(row), self._digests[row].strip().lower()
        found = sha256_of(content).hexdigest()
        if told and found != told:
            raise ValueError(f"its SHA-256 is {found[:12]}..., but `{self._column}` says {told[:12]}...")
        return content


def digest_column(name: str, media: Collection[str], columns: Collection[str]) -> str | None:
    """The column of a table that says the SHA-256 of the media of another one; None where none does.

    Args:
        name: The column of media.
        media: All columns of media.
        columns: All columns.
    """
    if f"{name}_sha256" in columns:
        return f"{name}_sha256"
    return "sha256" if "sha256" in columns and len(media) == 1 else None

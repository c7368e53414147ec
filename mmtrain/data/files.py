"""Looks for all media files of a table before anything slow starts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from mmtrain.data.manifest import Manifest
from mmtrain.errors import DataError
from mmtrain.paths import safe_size

LARGEST = 2**30  # bytes of a file: it is read whole


def find_files(table: Manifest, columns: Iterable[str], root: Path) -> bytes:
    """Checks that every cell of the columns is blank or names a file under `root`; opens none.

    Returns:
        SHA-256 over names and sizes.

    Raises:
        DataError: Some do not; tells how many and the first five.
    """
    digest, folders = hashlib.sha256(), set[str]()
    for name in columns:
        cells, sound = table.columns[name], set[str]()
        faults: dict[int, str] = {}
        for row, cell in enumerate(cells):
            if cell in sound or not cell.strip():
                continue
            try:
                size = safe_size(root, cell, folders)
                if size > LARGEST:
                    raise ValueError(f"{cell[:80]!r} has {size / 2**30:.1f} GiB, more than 1 GiB")
            except ValueError as error:
                faults[row] = str(error)
            else:
                sound.add(cell)
                digest.update(f"{name}\0{cell}\0{size}\0".encode())
        if faults:
            first = "; ".join(f"{table.line(row)}: {faults[row]}" for row in list(faults)[:5])
            raise DataError(f"{table.name}: {len(faults):,} of {len(cells):,} rows have an unusable `{name}`: {first}.")
    return digest.digest()

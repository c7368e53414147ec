"""Makes a table of text, picture and label, and measures what opening it takes: python scripts/measure_table.py [ROWS]

Times are CPU seconds; memory is the most that the process has held so far, that of importing torch included.
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from mmtrain.data.tables import manifest

DISTINCT = 1000  # pictures; the others are hard links to them


def make(folder: Path, rows: int) -> Path:
    """Eight words, a path of its own and one of ten labels a row."""
    path = folder / "table.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("text,image,label\n")
        for row in range(rows):
            image = f"images/{row // 1000:04d}/{row:07d}.png"
            if row % 1000 == 0:
                (folder / image).parent.mkdir(parents=True)
            if row < DISTINCT:
                (folder / image).write_bytes(f"{row}".encode())
            else:
                os.link(folder / f"images/0000/{row % DISTINCT:07d}.png", folder / image)
            digest = hashlib.sha256(str(row).encode()).digest()
            words = (f"word{int.from_bytes(digest[place : place + 2]) % 5000}" for place in range(0, 16, 2))
            file.write(f"{' '.join(words)},{image},class{row % 10}\n")
    return path


def measure(path: Path) -> None:
    """One line a part."""

    def told(part: str, start: float) -> float:
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{part:<24}{time.process_time() - start:6.1f} s {held:8.0f} MB")
        return time.process_time()

    start = told("before", time.process_time())
    table = manifest.read(path)
    start = told("read", start)
    table.identities(None)
    start = told("ids", start)
    table.find_media(["image"], path.parent.resolve())
    told("look for all pictures", start)
    print(f"{path.stat().st_size / 1e6:.0f} MB in {len(table):,} rows")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=".") as at:
        measure(make(Path(at), int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))

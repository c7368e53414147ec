"""The cache of decoded samples: one folder of the user's, with a store for each way of decoding."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import uuid
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from mmtrain.data.store import RECIPE, Store, size_of
from mmtrain.data.tables import tar_index
from mmtrain.protocols import Cacheable, Reader
from mmtrain.report import bytes_of


class Entry(NamedTuple):
    """A store as it lies on disk."""

    folder: Path
    recipe: str
    size: int  # bytes
    used: float  # seconds since 1970


def stores(root: Path, readers: Mapping[str, Reader]) -> dict[str, Store]:
    """A store for each modality whose reader says that decoding is worth keeping.

    The code of the reader is part of what a store is found by: no sample outlives a change of the decoder.
    """
    found = {}
    for name, reader in readers.items():
        if not isinstance(reader, Cacheable):
            continue
        recipe = f"{reader.kind}: {reader.recipe()}"
        digest = hashlib.sha256(f"{metadata.version('mmtrain')}|{recipe}|".encode() + _code(reader)).hexdigest()
        store = found[name] = Store(root / f"{reader.kind}-{digest[:16]}", recipe)
        if store.folder.is_dir():
            os.utime(store.folder)  # when it was last used
    return found


def summary(made: Mapping[str, Store]) -> str:
    """How much is there, for the start of a run."""
    different = {store.folder: store for store in made.values()}
    kept, size = sum(map(len, different.values())), sum(store.size for store in different.values())
    return f"cache: {kept:,} decoded samples ({bytes_of(size)}) kept in {next(iter(different)).parent}"


def entries(root: Path) -> list[Entry]:
    """The stores of a cache, the last used first."""
    found = []
    for folder in sorted(path.parent for path in root.glob(f"*/{RECIPE}")):
        found.append(Entry(folder, (folder / RECIPE).read_text("utf-8"), size_of(folder), folder.stat().st_mtime))
    return sorted(found, key=lambda entry: -entry.used)


def shard_indexes() -> list[Entry]:
    """What `mmtrain.data.tables.tar_index` keeps, as one entry; none where it keeps nothing."""
    files = list(tar_index.folder().glob("*.json"))
    if not files:
        return []
    sizes, times = zip(*((file.stat().st_size, file.stat().st_mtime) for file in files), strict=True)
    return [Entry(tar_index.folder(), f"indexes of {len(files):,} tar shards", sum(sizes), max(times))]


def clear(found: Iterable[Entry]) -> None:
    """Removes them and nothing else; a run that uses one goes on, and fills it again."""
    for entry in found:
        aside = entry.folder.with_name(f".cleared-{uuid.uuid4().hex}")  # a run may write into it while it is emptied
        shutil.rmtree(entry.folder.rename(aside))


def _code(reader: Reader) -> bytes:
    """The code that a reader decodes with: the file of its class; of our own readers, all files beside it."""
    name = type(reader).__module__
    file = Path(str(sys.modules[name].__file__))
    files = sorted(file.parent.glob("*.py")) if name.startswith(f"{__package__}.") else [file]
    return b"".join(found.read_bytes() for found in files)

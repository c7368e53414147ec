"""What is in a tar file and where, so that a member is read by offset: made once, then kept in the user's cache.

The index of a file is found by its path, size and time of change; one that is damaged or cannot be kept is made anew.
None is kept of a file that has only just changed: another change within the grain of the clock would not show.
Nothing is ever unpacked.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from mmtrain.errors import DataError
from mmtrain.paths import user_cache
from mmtrain.wholefile import write_whole

FORMAT = 1
_TEXTS = (".txt", ".cls", ".json")
_LONGEST = 2**20  # bytes of a text
_GRAIN = 2 * 10**9  # ns between two changes that every file system tells apart


class Member(NamedTuple):
    """A regular file in a tar: where its content starts, how many bytes it has, and the content where it is a text."""

    name: str
    offset: int
    size: int
    text: str | None


class Index(NamedTuple):
    """The members of a tar that had this size and time of change (in ns)."""

    size: int
    changed: int
    members: list[Member]


def index(path: Path) -> Index:
    """The members of a tar, in order.

    Raises:
        DataError: It cannot be read, is compressed, damaged or cut off, or has a member that is not to be trusted.
    """
    try:
        status = path.stat()
        kept = _kept(path, status)
        members = _load(kept)
        if members is None:
            with path.open("rb") as file:
                members = list(_members(path, file))
            if time.time_ns() - status.st_mtime_ns > _GRAIN:
                _save(kept, members)
    except (tarfile.TarError, OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(f"{path} cannot be read as a tar: {reason}; shards are not compressed.") from None
    return Index(status.st_size, status.st_mtime_ns, members)


def _members(path: Path, file: IO[bytes]) -> Iterator[Member]:
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for entry in tar:
            name = entry.name.removeprefix("./")
            if entry.isdir():
                continue
            if not entry.isreg() or entry.sparse is not None:
                raise DataError(
                    f"{path}: member {name[:80]!r} is a link, device or sparse file; only plain files are read."
                )
            if name.startswith("/") or ".." in name.split("/"):
                raise DataError(f"{path}: the name of member {name[:80]!r} leads out of the shard.")
            text = None
            if name.lower().endswith(_TEXTS):
                if entry.size > _LONGEST:
                    raise DataError(f"{path}: the text {name[:80]!r} has {entry.size:,} bytes, more than {_LONGEST:,}.")
                text = os.pread(file.fileno(), entry.size, entry.offset_data).decode("utf-8-sig")
            yield Member(name, entry.offset_data, entry.size, text)
        end = os.pread(file.fileno(), tarfile.BLOCKSIZE, tar.offset)
    # tarfile takes a damaged header for the end; the real one is a block of zeros
    if len(end) < tarfile.BLOCKSIZE or any(end):
        raise DataError(f"{path} is damaged or cut off at byte {tar.offset:,}: no member and no end mark there.")


def folder() -> Path:
    """Where the indexes of all shards lie."""
    return user_cache() / "shards"


def _kept(path: Path, status: os.stat_result) -> Path:
    known = f"{FORMAT}\0{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
    return folder() / f"{hashlib.sha256(known.encode(errors='surrogateescape')).hexdigest()[:32]}.json"


def _load(kept: Path) -> list[Member] | None:
    try:
        members, digest = json.loads(kept.read_text(encoding="utf-8"))
        whole = digest == _digest(members)
        return [Member(*member) for member in members] if whole else None
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def _save(kept: Path, members: list[Member]) -> None:
    """A cache that cannot be written saves no time, which is all."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_whole(kept, json.dumps([members, _digest(members)]))
    except OSError:
        return


def _digest(members: object) -> str:
    return hashlib.sha256(json.dumps(members).encode()).hexdigest()

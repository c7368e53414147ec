"""Unpacks archives of strangers: plain files only, all below one new folder, and no more than they may hold."""

from __future__ import annotations

import shutil
import stat
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

MOST_FILES = 1_000_000
MOST_BYTES = 100 * 2**30
_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")


def unpack(archives: Sequence[Path], folder: Path) -> None:
    """Unpacks all archives, and those that lie in them, into a folder that must not exist yet.

    Exits with a message, and removes the folder, at a link or device, a name that leads out, a file that is there
    already, a password, or more files or bytes than MOST_FILES and MOST_BYTES.
    """
    if folder.exists():
        sys.exit(f"error: {folder} exists; choose another with out=, or remove it.")
    folder.mkdir(parents=True)
    try:
        files = size = 0
        waiting = [(archive, folder) for archive in archives]
        while waiting:
            archive, into = waiting.pop()
            for name, content in _members(archive):
                target = into / name
                if (
                    name.startswith(("/", "\\"))
                    or ".." in name.replace("\\", "/").split("/")
                    or ":" in name.split("/")[0]
                ):
                    sys.exit(f"error: {archive}: {name!r} leads out of the folder; nothing was kept.")
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    while piece := content.read(2**20):
                        size += len(piece)
                        if size > MOST_BYTES:
                            sys.exit(f"error: {archive} unpacks to more than {MOST_BYTES:,} bytes; nothing was kept.")
                        file.write(piece)
                files += 1
                if files > MOST_FILES:
                    sys.exit(f"error: {archive} has more than {MOST_FILES:,} files; nothing was kept.")
                if target.name.lower().endswith(_SUFFIXES):
                    waiting.append((target, target.parent))
            if folder in archive.parents:
                archive.unlink()
    except (OSError, tarfile.TarError, zipfile.BadZipFile, RuntimeError, EOFError) as error:
        shutil.rmtree(folder)
        sys.exit(f"error: cannot unpack {archive}: {error}; nothing was kept.")
    except SystemExit:
        shutil.rmtree(folder)
        raise


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Names and contents of the regular files, one after another."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as bundle:
            for entry in bundle.infolist():
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    sys.exit(f"error: {archive}: {entry.filename!r} is a link or device; nothing was kept.")
                if not entry.is_dir():
                    with bundle.open(entry) as content:
                        yield entry.filename, content
    elif archive.name.lower().endswith(_SUFFIXES):
        with tarfile.open(archive, "r:*") as bundle:
            for member in bundle:
                if not (member.isreg() or member.isdir()):
                    sys.exit(f"error: {archive}: {member.name!r} is a link or device; nothing was kept.")
                content = bundle.extractfile(member) if member.isreg() else None
                if content is not None:
                    yield member.name, content
    else:
        sys.exit(f"error: {archive} is none of {', '.join(_SUFFIXES)}; nothing was kept.")

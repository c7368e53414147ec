"""A table in several files, in one folder or in a folder for each split."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from mmtrain.data.tables.splits import NAMES
from mmtrain.errors import DataError
from mmtrain.paths import safe_path


class Part(NamedTuple):
    """A file of a table, and the split that all its rows are in, where its folder or name says one."""

    path: Path
    split: str | None = None


def parts(folder: Path, suffix: str) -> list[Part]:
    """The files of a folder with a suffix, and of the folders in it, sorted; empty where there are none.

    A split is a folder's name, or a word of the file's: `train/000.tar`, `train-000.tar`, `cats-train-000.tar`.

    Raises:
        DataError: Some files say a split and others do not, or a link leads out of the folder.
    """
    try:
        found = sorted(file.relative_to(folder) for at in ("*", "*/*") for file in folder.glob(f"{at}{suffix}"))
        files = []
        for path in (path for path in found if not path.name.startswith(".")):
            safe_path(folder, str(path))
            files.append(Part(folder / path, _split(path)))
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: {error}.") from None
    unknown = [part.path.name for part in files if part.split is None]
    if unknown and len(unknown) < len(files):
        raise DataError(
            f"{folder}: {len(files) - len(unknown):,} {suffix} files have a split in their name or folder, but"
            f" {unknown[0]} has none; expected all or none of {', '.join(NAMES)}."
        )
    return files


def _split(path: Path) -> str | None:
    words = [path.parts[0]] if len(path.parts) > 1 else re.split(r"[-_.\d]+", path.stem)
    return next((word for word in words if word.lower() in NAMES), None)

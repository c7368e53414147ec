"""A folder of class folders as a table: `cats/1.png`, or `train/cats/1.png` with a folder for each split.

Columns are `image`, `audio`, `video` or `features` by the suffix of the files, `label`, and `split` where there are
folders of splits. Files deeper down belong to the class folder above them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mmtrain.data.tables.cells import BLOCK, BROKEN, Blocks, Content, gather
from mmtrain.data.tables.files import kind_by_suffix
from mmtrain.data.tables.splits import NAMES
from mmtrain.errors import DataError


def read(root: Path) -> Content:
    """The files of all class folders, sorted by path.

    Raises:
        DataError: There are none, they are of several kinds, or some folders are splits and others are not.
    """
    others: list[str] = []
    found = sorted(_files(root, "", others))
    media = [path for path in found if kind_by_suffix(path) and "/" in path]
    others += [path for path in found if not (kind_by_suffix(path) and "/" in path)]
    tops = {path.split("/")[0] for path in media}
    classes = {path.split("/")[0] for path in media if path.count("/") == 1}
    divided = {top for top in tops - classes if top.lower() in NAMES}
    if divided and divided < tops:
        raise DataError(
            f"{root}: the folders {_some(sorted(divided))} are splits of class folders, but"
            f" {_some(sorted(tops - divided))} are not; expected split/class/file everywhere, or class/file."
        )
    counts = Counter(kind_by_suffix(path) for path in media)
    if len(counts) != 1:
        told = ", ".join(f"{count:,} of {kind}" for kind, count in counts.items()) or "no media file in a folder"
        raise DataError(f"{root}: expected class folders with media of one kind, found {told}.")
    (kind,) = map(str, counts)

    def blocks() -> Blocks:
        for start in range(0, len(media), BLOCK):
            paths = media[start : start + BLOCK]
            names = [path.split("/") for path in paths]
            columns = {kind: paths, "label": [name[1 if divided else 0] for name in names]}
            if divided:
                columns["split"] = [name[0] for name in names]
            yield range(start + 1, start + len(paths) + 1), columns

    notes = [f"{len(others):,} files or links are no media in a class folder: {_some(others)}"] if others else []
    return Content(*gather(blocks()), notes=notes)


def _files(root: Path, folder: str, others: list[str]) -> Iterator[str]:
    """Paths relative to the root, but for hidden files; links to folders are not followed but put down in `others`."""
    try:
        entries = list(os.scandir(root / folder))
    except OSError as error:
        raise DataError(f"cannot read the folder {root / folder}: {error.strerror}.") from None
    for entry in entries:
        path = f"{folder}/{entry.name}" if folder else entry.name
        if BROKEN.search(path):
            raise DataError(f"{root}: the name of {path!r} is not UTF-8; rename it.")
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files(root, path, others)
        elif entry.is_dir():
            others.append(path)
        else:
            yield path


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")

"""A folder of class folders is a table: label by folder, split by the folder above, kind by suffix."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmtrain.data.tables.manifest import read
from mmtrain.data.tables.table import TableSource
from mmtrain.errors import DataError


def make(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode(errors="surrogateescape"))
    return root


def test_folders_are_labels(tmp_path):
    """Sorted by path; capitals in a suffix do not matter, and a file deeper down belongs to the class above."""
    table = read(make(tmp_path, "dogs/2.JPG", "cats/b/1.png", "dogs/1.webp", "cats/.hidden.png"))
    assert table.columns == {
        "image": ["cats/b/1.png", "dogs/1.webp", "dogs/2.JPG"],
        "label": ["cats", "dogs", "dogs"],
    }
    assert (table.place(2), table.line(2), table.notes) == (f"{tmp_path}:3", "row 3", [])


def test_folders_above_are_splits(tmp_path):
    """A class may be called `train` too."""
    paths = [
        f"{split}/{label}/{number}.wav" for split in ("train", "Val") for label in ("bus", "train") for number in (1, 2)
    ]
    source = TableSource(path=str(make(tmp_path, *paths)))
    assert source.kinds == {"audio": "audio"}
    assert {split: list(rows) for split, rows in source.splits.items()} == {"val": [0, 1, 2, 3], "train": [4, 5, 6, 7]}
    assert [source.target(row, "label") for row in range(4)] == ["bus", "bus", "train", "train"]
    assert source.cell(7, "audio") == b"train/train/2.wav"
    assert source.place(7, "audio") == f"{tmp_path}:8 (train/train/2.wav)"
    assert read(make(tmp_path / "two", "train/1.png", "bus/1.png")).columns["label"] == ["bus", "train"]


def test_what_is_not_read_is_told(tmp_path):
    """Files of other kinds, media beside the folders, and links to folders."""
    make(tmp_path, "cats/1.png", "cats/notes.txt", "preview.png")
    (tmp_path / "link").symlink_to(tmp_path / "cats")
    table = read(tmp_path)
    assert table.columns["image"] == ["cats/1.png"]
    assert table.notes == ["3 files or links are no media in a class folder: link, cats/notes.txt, preview.png"]


def test_links_to_files_stay_under_the_root(tmp_path):
    make(tmp_path, "secret.png")
    make(tmp_path / "set", "cats/1.png", "dogs/1.png")
    (tmp_path / "set/cats/2.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(
        DataError, match=r"1 of 3 rows have an unusable `image`: row 2: .* is a link out of the data root"
    ):
        TableSource(path=str(tmp_path / "set"))


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "expected class folders with media of one kind, found no media file in a folder"),
        (["1.png", "a.txt"], "found no media file in a folder"),
        (["cats/1.png", "dogs/1.wav", "dogs/2.wav"], "found 1 of image, 2 of audio"),
        (["train/cats/1.png", "test/1.png"], "the folders train are splits of class folders, but test are not"),
        (["train/cats/1.png", "misc/1.png"], "but misc are not; expected split/class/file everywhere"),
        (["cats/\udcff.png"], r"the name of 'cats/\\udcff.png' is not UTF-8"),
    ],
)
def test_a_folder_that_is_no_table_is_refused(tmp_path, paths, message):
    with pytest.raises(DataError, match=message):
        read(make(tmp_path, *paths))

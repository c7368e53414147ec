"""Files and groups in two splits: found by content, told with their rows, refused or moved together."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from mmtrain.data.tables import leakage
from mmtrain.data.tables.leakage import alike, moved
from mmtrain.data.tables.table import TableSource
from mmtrain.errors import DataError

FILES = {"a.png": b"sun", "b.png": b"moon", "copy of a.png": b"sun", "c.png": b"sea", "d.png": b"stars"}
SPLITS = ["train", "train", "val", "test", "test"]


@pytest.fixture
def pets(tmp_path: Path) -> str:
    """The third row validates on a copy of the first picture; `c.png` has the size of `a.png` and other content."""
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    rows = [f"{name},{'ab'[row % 2]},{split}" for row, (name, split) in enumerate(zip(FILES, SPLITS, strict=True))]
    (tmp_path / "pets.csv").write_text("\n".join(["image,label,split", *rows, ""]), encoding="utf-8")
    return str(tmp_path / "pets.csv")


def rows_of(source: TableSource) -> dict[str, list[int]]:
    return {split: list(rows) for split, rows in source.splits.items()}


def test_a_copy_of_a_file_in_another_split_is_told(pets):
    source = TableSource(path=pets)
    assert source.notes == [
        "1 files of `image` are in both train and val: line 2 (a.png) and line 4 (copy of a.png);"
        " `dataset.on_leakage=move` puts such rows into one split"
    ]
    assert rows_of(source) == {"train": [0, 1], "val": [2], "test": [3, 4]}


def test_a_shared_file_can_be_refused(pets):
    with pytest.raises(DataError, match=r"1 files of `image` are in both train and val.*`dataset.on_leakage=move`"):
        TableSource(path=pets, on_leakage="error")


def test_a_split_that_moving_would_empty_is_an_error(pets):
    with pytest.raises(DataError, match=r"all 1 rows of val share a file or group .* would leave none"):
        TableSource(path=pets, on_leakage="move")


def test_rows_move_to_the_first_split_that_shares_with_them(pets, tmp_path):
    """A group joins rows as a file does: the last row goes with `b.png` to train."""
    lines = Path(pets).read_text(encoding="utf-8").splitlines()
    people = ["person", "", "p", "", "", "p"]
    more = ["d.png,a,val,"]
    joined = [f"{line},{person}" for line, person in zip(lines, people, strict=True)]
    (tmp_path / "pets.csv").write_text("\n".join([*joined, *more, ""]), encoding="utf-8")
    with pytest.raises(DataError, match="all 2 rows of val"):
        TableSource(path=pets, group="person", on_leakage="move")

    (tmp_path / "e.png").write_bytes(b"e")
    (tmp_path / "pets.csv").write_text("\n".join([*joined, "e.png,a,val,", ""]), encoding="utf-8")
    source = TableSource(path=pets, group="person", on_leakage="move")
    assert rows_of(source) == {"train": [0, 1, 2, 4], "val": [5], "test": [3]}
    assert source.notes == [
        "moved to where rows of the same file or group are: 1 rows from val to train, 1 rows from test to train"
    ]


def test_rows_that_are_linked_through_others_move_too():
    """Test shares with val, and val with train."""
    parts, moves = moved(
        {"train": [0], "val": [1, 3], "test": [2, 4]},
        {},
        {"image": ["a", "a", "", "", ""], "sound": ["", "x", "x", "", ""]},
    )
    assert parts == {"train": [0, 1, 2], "val": [3], "test": [4]}
    assert moves == {("val", "train"): 1, ("test", "train"): 1}


def test_only_files_of_equal_size_in_different_splits_are_read():
    """Two of equal size in one split are nobody's leak, and one of a size of its own cannot have a copy."""
    content = [b"one", b"two", b"four", b"sixteen", b"fifteen"]
    opened: list[int] = []

    def read(name: str, row: int) -> bytes:
        opened.append(row)
        return content[row]

    splits = {"train": [0, 1, 2, 3], "val": [4]}
    cells, complete = alike({"image": "abcde"}, splits, lambda name, row: len(content[row]), read)
    assert (cells["image"][:3], complete, opened) == (list("abc"), True, [3, 4])
    assert cells["image"][3] != cells["image"][4]


TWO = "image,image_2,label,split\na.png,b.png,a,train\nc.png,d.png,b,train\ne.png,f.png,a,val\ng.png,{},b,test\n"


@pytest.mark.parametrize("name", ["a.png", "copy of a.png"])
def test_a_file_that_another_column_tests_on_is_told(tmp_path, name):
    """The first picture of training is the second one of the test, by its name or as a copy of it."""
    for number, file in enumerate("abcdefg"):
        (tmp_path / f"{file}.png").write_bytes(bytes([number]))
    (tmp_path / "copy of a.png").write_bytes(bytes([0]))
    (tmp_path / "pets.csv").write_text(TWO.format(name), encoding="utf-8")

    assert TableSource(path=str(tmp_path / "pets.csv")).notes == [
        f"1 files of `image` are in train, and in `image_2` of test: line 2 (a.png) and line 5 ({name});"
        " `dataset.on_leakage=move` puts such rows into one split"
    ]
    with pytest.raises(DataError, match="all 1 rows of test share a file"):
        TableSource(path=str(tmp_path / "pets.csv"), on_leakage="move")


def test_rows_that_share_a_file_across_columns_are_drawn_together(tmp_path):
    """Of each four rows, the second picture of a row is the first one of the row after the next."""
    for number in range(40):
        (tmp_path / f"{number}.png").write_bytes(bytes([number]))
    rows = [f"{number}.png,{number // 4 * 4 + (number + 2) % 4}.png,{'ab'[number % 2]}" for number in range(40)]
    (tmp_path / "pets.csv").write_text("\n".join(["image,image_2,label", *rows, ""]), encoding="utf-8")

    source = TableSource(path=str(tmp_path / "pets.csv"))

    where = {row: split for split, rows in source.splits.items() for row in rows}
    assert all(where[row] == where[row + 2] for row in range(40) if row % 4 < 2)
    assert set(where.values()) == {"train", "val", "test"}
    assert source.split_origin.endswith("rows of one `image` or `image_2` kept together")


def test_too_many_files_are_compared_by_name_and_that_is_told(pets, monkeypatch):
    monkeypatch.setattr(leakage, "MOST_FILES", 4)
    assert TableSource(path=pets).notes == [
        "files of `image` are compared between splits by name only: too many to read them"
    ]
    monkeypatch.setattr(leakage, "MOST_FILES", 5)
    monkeypatch.setattr(leakage, "MOST_BYTES", 8)  # of the three files of 3 bytes
    assert "by name only" in TableSource(path=pets).notes[0]


def test_equal_media_inside_of_shards_and_of_parquet_files_are_found(tmp_path):
    """The picture that validates is one of training again, under another name."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"image": [b"sun", b"moon", b"sun"], "label": ["a", "b", "a"], "split": ["train", "train", "val"]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    for split, members in {"train": {"0": b"sun", "1": b"moon"}, "val": {"2": b"sun"}}.items():
        (tmp_path / "shards").mkdir(exist_ok=True)
        with tarfile.open(tmp_path / "shards" / f"{split}-0.tar", "w") as tar:
            for key, content in members.items():
                for name, data in ((f"{key}.cls", b"a"), (f"{key}.png", content)):
                    entry = tarfile.TarInfo(name)
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))

    for path in (tmp_path / "t.parquet", tmp_path / "shards"):
        (note,) = TableSource(path=str(path)).notes
        assert "1 files of `image` are in both train and val: row 1 (" in note

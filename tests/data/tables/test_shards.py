"""Tar shards are tables: members of one key a row, media read by offset, nothing unpacked and no link followed."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import time
from pathlib import Path

import pytest

from mmtrain.data.tables import tar_index
from mmtrain.data.tables.manifest import read
from mmtrain.data.tables.table import TableSource
from mmtrain.errors import DataError
from mmtrain.protocols import Sharded


def shard(path: Path, members: dict[str, bytes | str], **kinds: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        for name, kind in kinds.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "a.jpg"
            tar.addfile(entry)
    return path


def pets(start: int, count: int) -> dict[str, bytes | str]:
    return {
        name: content
        for number in range(start, start + count)
        for name, content in {
            f"{number:04d}.jpg": f"picture {number}".encode(),
            f"{number:04d}.txt": f"pet {number}",
            f"{number:04d}.cls": f"{number % 2}\n",
        }.items()
    }


def test_members_of_one_key_are_a_row(tmp_path):
    """Text exactly as it is, the label without its line end; a sample may lack a member."""
    members = {**pets(0, 2), "x/y.1.PNG": b"z", "x/y.flac": b"sound", "x/y.txt": " two\nlines "}
    table = read(shard(tmp_path / "a.tar", members))
    assert table.columns == {
        "id": ["a/0000", "a/0001", "a/x/y"],
        "image": ["a.tar/0000.jpg", "a.tar/0001.jpg", ""],
        "text": ["pet 0", "pet 1", " two\nlines "],
        "label": ["0", "1", ""],
        "image_1": ["", "", "a.tar/x/y.1.PNG"],
        "audio": ["", "", "a.tar/x/y.flac"],
    }
    assert table.kinds == {"image": "image", "image_1": "image", "audio": "audio"}
    contents = [table.stores["image"].read(1), table.stores["image_1"].read(2), table.stores["audio"].read(2)]
    assert contents == [b"picture 1", b"z", b"sound"]


def test_a_json_member_gives_a_column_a_key(tmp_path):
    """Numbers as written, lists as JSON; what equals another member is no conflict."""
    members = {"a.json": '{"label": 007e1, "n": 1.50, "tags": ["x", 1.5]}'.replace("007e1", "7e1"), "a.cls": "7e1"}
    assert read(shard(tmp_path / "a.tar", members)).columns == {
        "id": ["a/a"], "label": ["7e1"], "n": ["1.50"], "tags": ['["x", 1.5]']
    }  # fmt: skip


def test_a_folder_of_shards_is_one_table(tmp_path, monkeypatch):
    """In the order of their names; cells say the shard, so that equal keys stay apart."""
    for name in ("b.tar", "a.tar"):
        shard(tmp_path / "set" / name, pets(0, 2))
    monkeypatch.chdir(tmp_path)
    table = read(Path("set"))
    assert table.columns["id"] == ["a/0000", "a/0001", "b/0000", "b/0001"]
    assert table.columns["image"][2] == "b.tar/0000.jpg"
    assert table.place(2) == "set:3"

    (tmp_path / "outside.tar").write_bytes((tmp_path / "set/a.tar").read_bytes())
    (tmp_path / "set/c.tar").symlink_to(tmp_path / "outside.tar")
    with pytest.raises(DataError, match=r"'c.tar' is a link out of the data root"):
        read(Path("set"))


@pytest.mark.parametrize("names", [("train/0.tar", "val/0.tar"), ("pets-train-000.tar", "pets-val-000.tar")])
def test_shards_of_a_split_say_so_in_folder_or_name(tmp_path, names):
    shard(tmp_path / names[0], pets(0, 4))
    shard(tmp_path / names[1], pets(4, 2))
    source = TableSource(path=str(tmp_path))
    assert {split: list(rows) for split, rows in source.splits.items()} == {"train": [0, 1, 2, 3], "val": [4, 5]}
    assert (source.kinds, source.notes) == ({"image": "image", "text": "text"}, [])
    assert (source.cell(5, "image"), source.cell(5, "text"), source.target(5, "label")) == (b"picture 5", "pet 5", "1")
    assert source.place(5, "image") == f"{tmp_path}:6 ({names[1]}/0005.jpg)"
    assert pickle.loads(pickle.dumps(source)).cell(4, "image") == b"picture 4"


def test_some_shards_with_a_split_and_some_without_are_refused(tmp_path):
    shard(tmp_path / "train-0.tar", pets(0, 1))
    shard(tmp_path / "other.tar", pets(1, 1))
    with pytest.raises(DataError, match=r"1 .tar files have a split in their name or folder, but other.tar has none"):
        read(tmp_path)


def test_an_index_is_made_once_and_anew_when_the_shard_changes(tmp_path, monkeypatch):
    """It lies in the user's cache; nothing is written beside the data."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = shard(tmp_path / "data/a.tar", pets(0, 2))
    os.utime(path, (1, 1))
    opened = []
    members = tar_index._members
    monkeypatch.setattr(tar_index, "_members", lambda *given: opened.append(given[0]) or members(*given))

    first = read(path)
    assert read(path).columns == first.columns
    assert len(opened) == 1
    assert [file.name for file in (tmp_path / "data").iterdir()] == ["a.tar"]

    (kept,) = (tmp_path / "cache/mmtrain/shards").iterdir()
    kept.write_text(kept.read_text().replace("pet 1", "pet 2"))  # damaged: found by its digest
    assert read(path).columns == first.columns
    assert len(opened) == 2

    shard(path, pets(0, 3))
    assert len(read(path)) == 3
    with pytest.raises(ValueError, match=r"a.tar has changed since it was indexed"):
        first.stores["image"].read(0)


def test_no_index_is_kept_of_a_shard_that_has_only_just_changed(tmp_path, monkeypatch):
    """Written again within a tick of the clock, with other members of the same size, it would look the same."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "a.tar"
    now = time.time_ns()
    for start in (0, 2):
        shard(path, pets(start, 2))
        os.utime(path, ns=(now, now))
        assert read(path).columns["text"] == [f"pet {start}", f"pet {start + 1}"]


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file in the place of the folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert len(read(shard(tmp_path / "a.tar", pets(0, 2)))) == 2


def test_the_fingerprint_follows_names_and_sizes(tmp_path):
    """Not the time at which the shard was written."""
    seen = []
    for name, picture in (("0000.jpg", b"picture 0"), ("0000.jpg", b"picture"), ("0000.jpeg", b"picture 0")):
        shard(tmp_path / "train-0.tar", {name: picture, **{k: v for k, v in pets(0, 4).items() if k != "0000.jpg"}})
        shard(tmp_path / "val-0.tar", pets(4, 2))
        seen.append(TableSource(path=str(tmp_path)).fingerprint())
    os.utime(tmp_path / "val-0.tar", (1, 1))
    assert TableSource(path=str(tmp_path)).fingerprint() == seen[2]
    assert len(set(seen)) == 3


def broken(content: bytes):
    return lambda path: path.write_bytes(content)


def cut(keep: int):
    def make(path: Path) -> None:
        shard(path, pets(0, 2))
        path.write_bytes(path.read_bytes()[:keep])

    return make


def changed(at: int):
    def make(path: Path) -> None:
        content = bytearray(shard(path, pets(0, 2)).read_bytes())
        content[at] ^= 1
        path.write_bytes(content)

    return make


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (broken(b""), "a.tar cannot be read as a tar: empty file"),
        (broken(b"no tar" * 1000), "a.tar cannot be read as a tar"),
        (broken(b"\x1f\x8b" + bytes(1000)), "shards are not compressed"),
        (cut(3 * 512), "cannot be read as a tar: unexpected end of data"),
        (cut(2 * 1024 + 600), "cannot be read|damaged or cut off"),
        (cut(2 * 1024), "damaged or cut off at byte 2,048"),
        (changed(2 * 1024 + 3), "damaged or cut off at byte 2,048"),
        (lambda path: shard(path, pets(0, 1), link=tarfile.SYMTYPE), "member 'link' is a link, device or sparse file"),
        (lambda path: shard(path, pets(0, 1), link=tarfile.LNKTYPE), "member 'link' is a link"),
        (lambda path: shard(path, pets(0, 1), pipe=tarfile.FIFOTYPE), "member 'pipe' is a link, device"),
        (lambda path: shard(path, pets(0, 1), null=tarfile.CHRTYPE), "member 'null' is a link, device"),
        (lambda path: shard(path, {"../a.jpg": b"x"}), "the name of member '../a.jpg' leads out"),
        (lambda path: shard(path, {"/etc/a.jpg": b"x"}), "the name of member '/etc/a.jpg' leads out"),
        (lambda path: shard(path, {"a.txt": b"\xff"}), "cannot be read as a tar: .*codec can't decode"),
        (lambda path: shard(path, {"a.txt": "x\0"}), "member 'a.txt': 'text' holds a NUL"),
        (lambda path: shard(path, {"a.json": "[1]"}), "member 'a.json': the text is no object"),
        (lambda path: shard(path, {"a.jpg": b"x", "a.png": b"y"}), "sample 'a' has two different cells for `image`"),
        (lambda path: shard(path, {"a.cls": "1", "a.json": '{"label": 2}'}), "two different cells for `label`"),
        (lambda path: shard(path, {"a.jpg": b"x", "b.jpg": b"y", "a.cls": "1"}), "'a' do not follow one another"),
        (lambda path: shard(path, {"README": "no sample", ".a.jpg": b"x"}), "a.tar is empty"),
    ],
)  # fmt: skip
def test_a_shard_that_cannot_be_trusted_is_refused(tmp_path, make, message):
    make(tmp_path / "a.tar")
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / "a.tar")
    assert "\n" not in str(caught.value)


def test_members_that_nothing_reads_are_told(tmp_path):
    members = {**pets(0, 2), "0002.jpg": b"x", "0002.pyd": b"pickled", "0002.seg.pt": b"tensor"}
    assert read(shard(tmp_path / "a.tar", members)).notes == ["members of shards not read: 1 .pyd, 1 .seg.pt"]


def test_the_rows_of_each_shard_are_told_to_a_plan(tmp_path):
    """Files in a folder of their own are in no shard."""
    for name, start, count in (("train-0.tar", 0, 3), ("train-1.tar", 3, 2), ("val-0.tar", 5, 2)):
        shard(tmp_path / name, pets(start, count))
    source = TableSource(path=str(tmp_path))
    assert isinstance(source, Sharded)
    assert source.shards == [range(0, 3), range(3, 5), range(5, 7)]

    (tmp_path / "t.csv").write_text("text,label\n" + "a,x\nb,y\n" * 10, encoding="utf-8")
    assert not isinstance(TableSource(path=str(tmp_path / "t.csv"), split=None), Sharded)

"""Media whose SHA-256 a column of the table says: what has changed is never read."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from mmtrain.data.tables.table import TableSource
from mmtrain.errors import DataError

FILES = ("a.png", "b.png", "c.png")


def table(folder: Path, digests: list[str], column: str = "sha256", second: str = "") -> Path:
    """Three rows, each with a picture of 300 bytes; `second` names a further column of the same pictures."""
    for number, name in enumerate(FILES):
        (folder / name).write_bytes(random.Random(number).randbytes(300))
    rows = [
        ",".join([name, *([name] if second else []), digest, "ab"[number % 2], split])
        for number, (name, digest, split) in enumerate(zip(FILES, digests, ["train", "train", "val"], strict=True))
    ]
    head = ",".join(["image", *([second] if second else []), column, "label", "split"])
    (folder / "t.csv").write_text("\n".join([head, *rows, ""]), encoding="utf-8")
    return folder / "t.csv"


def digests_of(folder: Path) -> list[str]:
    table(folder, ["", "", ""])
    return [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES]


def test_every_one_of_200_turned_bits_is_found(tmp_path):
    """A decoder sees few of them. The rows next to it are read; the letters of a digest may be large."""
    source = TableSource(path=str(table(tmp_path, [digest.upper() for digest in digests_of(tmp_path)])))
    whole, draw = (tmp_path / "b.png").read_bytes(), random.Random(0)
    assert source.notes == []
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        (tmp_path / "b.png").write_bytes(damaged)
        with pytest.raises(DataError, match=r"t\.csv:3: `image`: its SHA-256 is \w{12}\.\.\., but `sha256` says"):
            source.cell(1, "image")
    (tmp_path / "b.png").write_bytes(whole)
    assert [source.cell(row, "image") for row in range(3)] == [(tmp_path / name).read_bytes() for name in FILES]


def test_a_row_without_a_digest_is_read_as_it_is(tmp_path):
    source = TableSource(path=str(table(tmp_path, [*digests_of(tmp_path)[:2], " "])))
    (tmp_path / "c.png").write_bytes(b"changed")
    assert source.cell(2, "image") == b"changed"


def test_with_two_columns_of_media_the_name_says_whose_digest_it_is(tmp_path):
    """A plain `sha256` could be that of either, and is told as unused."""
    digests = digests_of(tmp_path)
    named = TableSource(path=str(table(tmp_path, digests, "image_2_sha256", second="image_2")))
    (tmp_path / "a.png").write_bytes(b"changed")
    assert named.cell(0, "image") == b"changed"
    with pytest.raises(DataError, match="`image_2`: its SHA-256 is"):
        named.cell(0, "image_2")
    assert list(named.kinds) == ["image", "image_2"]

    unnamed = TableSource(path=str(table(tmp_path, digests, second="image_2")))
    assert "columns not used: sha256" in unnamed.notes


def test_what_is_no_digest_is_told_before_anything_is_read(tmp_path):
    with pytest.raises(DataError, match=r"line 3: `sha256` is 'abc', not a SHA-256 of 64 hexadecimal digits"):
        TableSource(path=str(table(tmp_path, ["", "abc", ""])))


def test_another_digest_is_another_data_set(tmp_path):
    """So that a resume refuses it, though names and sizes are the same."""
    digests = digests_of(tmp_path)
    one = TableSource(path=str(table(tmp_path, digests)))
    other = TableSource(path=str(table(tmp_path, ["0" * 64, *digests[1:]])))
    assert one.fingerprint() != other.fingerprint()

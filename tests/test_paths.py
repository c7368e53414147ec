"""Paths found in data never lead out of the data root, and nothing but regular files is ever opened."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from mmtrain.largefile import LargeFile, sha256_of
from mmtrain.paths import plain_sizes, safe_path, safe_read, safe_size


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with a file of five bytes, and a secret beside it."""
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    (folder / "images/a.png").write_bytes(b"12345")
    (folder / "images/日本 語.png").write_bytes(b"12345")
    (tmp_path / "secret").write_bytes(b"secret")
    return folder


REFUSED = [
    "",
    "../secret",
    "images/../../secret",
    "images/../images/a.png",
    "..\\secret",
    "/etc/passwd",
    "/passwd",
    "\\\\server\\share",
    "~/secret",
    "C:\\x",
    "c:/x",
    "http://127.0.0.1/a.png",
    "file:///etc/passwd",
    "concat:images/a.png",
    "rtsp://127.0.0.1/a",
    "subfile,,start,0,end,0,,:images/a.png",
    "data:image/png;base64,AAAA",
    "pipe:0",
    "|cmd",
    "-i x",
    ">x",
    "a\0b",
    "images",
    "images/none.png",
    "images/a.png/b",
    "two\nlines",
    "x" * 300,
    "/".join(["x"] * 3000),
]


@pytest.mark.parametrize("value", REFUSED)
def test_what_is_no_file_under_the_root_is_refused(root, value):
    """The reason is one short line, by both gates."""
    for gate in (lambda: safe_path(root, value), lambda: safe_size(root, value, {str(root), f"{root}/images"})):
        with pytest.raises(ValueError, match=r"path|root|file|opened") as caught:
            gate()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300 + len(str(root))


@pytest.mark.parametrize("value", ["images/a.png", "images/日本 語.png", "./images/a.png"])
def test_a_file_under_the_root_is_found(root, value):
    assert safe_path(root, value).read_bytes() == b"12345"
    assert safe_size(root, value, set()) == 5


def test_an_absolute_path_is_found_where_it_lies_under_the_root(root):
    """Twice, as the second time its folder is known; one of a like-named folder beside the root is not in it."""
    folders: set[str] = set()
    assert safe_path(root, f"{root}/images/a.png") == root / "images/a.png"
    assert [safe_size(root, f"{root}/images/a.png", folders) for _ in range(2)] == [5, 5]
    beside = root.with_name("data_2")
    beside.mkdir()
    (beside / "a.png").write_bytes(b"secret")
    for gate in (lambda: safe_path(root, f"{beside}/a.png"), lambda: safe_size(root, f"{beside}/a.png", folders)):
        with pytest.raises(ValueError, match=r"is not in the data root .*; name its folder with `dataset.data_root`"):
            gate()


def test_a_relative_root_works(root, monkeypatch):
    monkeypatch.chdir(root.parent)
    assert safe_path(Path("data"), "images/a.png") == root / "images/a.png"
    assert safe_size(Path("data"), "images/a.png", set()) == 5


def test_links_may_point_inside_the_root_only(root):
    """A link to a file, a link as a folder and a loop of links."""
    (root / "inside").symlink_to(root / "images/a.png")
    (root / "outside").symlink_to(root.parent / "secret")
    (root / "up").symlink_to(root.parent)
    (root / "loop").symlink_to(root / "loop")

    assert safe_path(root, "inside").read_bytes() == b"12345"
    assert safe_size(root, "inside", {""}) == 5
    for value, reason in (("outside", "link out of"), ("up/secret", "link out of"), ("loop", "cannot be opened")):
        with pytest.raises(ValueError, match=reason):
            safe_path(root, value)
        with pytest.raises(ValueError, match=reason):
            safe_size(root, value, {""})


def test_a_pipe_is_refused_without_being_opened(root):
    """Opening a pipe that nobody writes to would wait for ever."""
    os.mkfifo(root / "pipe")
    with pytest.raises(ValueError, match="not a regular file"):
        safe_path(root, "pipe")
    with pytest.raises(ValueError, match="not a regular file"):
        safe_size(root, "pipe", {str(root)})


def test_a_folder_is_known_only_once_it_is_found_inside(root):
    """A file that links to the outside does not vouch for its folder, nor a folder that links there."""
    folders: set[str] = set()
    (root / "up").symlink_to(root.parent)
    with pytest.raises(ValueError, match="link out of"):
        safe_size(root, "up/secret", folders)
    assert folders == set()
    safe_size(root, "images/a.png", folders)
    assert folders == {f"{root}/images"}


def test_a_large_file_is_left_where_it_is(root):
    """From 16 MiB on; its slices are those of the bytes."""
    content = bytes(range(256)) * 2**16 + b"end"
    (root / "large").write_bytes(content)

    found = safe_read(root, "large", max_bytes=2**30)

    assert isinstance(found, LargeFile)
    assert len(found) == len(content)
    for part in (slice(0, 4), slice(-5, None), slice(70_000, 70_300), slice(9, 3), slice(None)):
        assert found[part] == content[part]
    assert sha256_of(found, b"more").digest() == hashlib.sha256(content + b"more").digest()


def test_many_sizes_are_told_at_once_where_nothing_is_odd(root):
    """A link, a missing file or a word that is no plain path sends the caller to look at each."""
    (root / "link").symlink_to(root / "images/a.png")
    real = root.resolve()

    assert plain_sizes(real, ["images/a.png", "images/a.png"], set()) == [5, 5]
    for odd in ("link", "images/b.png", "../secret", "", "images"):
        assert plain_sizes(real, ["images/a.png", odd], set()) is None


def test_a_file_is_read_up_to_a_limit(root):
    """Five bytes of five are given; with a limit of four, none is read."""
    assert safe_read(root, "images/a.png", max_bytes=5) == b"12345"
    with pytest.raises(ValueError, match=r"'images/a\.png' has 5 bytes, more than 4"):
        safe_read(root, "images/a.png", max_bytes=4)

"""A table in the wrong encoding is told with the place of the first byte that does not fit, and the likely encoding."""

from __future__ import annotations

import pytest

from mmtrain.data.tables.manifest import read
from mmtrain.errors import ConfigError, DataError

CHINESE = "text,label\n它会喵喵叫,猫\n它会汪汪叫,狗\n"


def write(folder, content: bytes, name: str = "pets.csv"):
    (folder / name).write_bytes(content)
    return folder / name


@pytest.mark.parametrize("encoding", ["gb18030", "GBK", "utf-8", "utf-8-sig", "utf_16", "big5-hkscs"])
@pytest.mark.parametrize("name", ["pets.csv", "pets.jsonl"])
def test_a_table_is_read_in_the_encoding_that_is_named(tmp_path, encoding, name):
    content = CHINESE if name == "pets.csv" else '{"text": "它会喵喵叫", "label": "猫"}\n{"label": "狗"}\n'
    assert read(write(tmp_path, content.encode(encoding), name), encoding).columns["label"] == ["猫", "狗"]


def test_a_word_that_is_utf_8_by_chance_is_read_as_asked(tmp_path):
    """The two characters are valid UTF-8 when written in GB18030."""
    assert read(write(tmp_path, "label\n联通\n".encode("gb18030")), "gb18030").columns["label"] == ["联通"]


def test_a_byte_order_mark_of_utf_8_is_accepted_unasked(tmp_path):
    assert list(read(write(tmp_path, CHINESE.encode("utf-8-sig"))).columns) == ["text", "label"]


@pytest.mark.parametrize(
    ("content", "asked", "message"),
    [
        (CHINESE.encode("gb18030"), "utf-8", r"pets.csv:2: byte 0xcb at offset 11 is not UTF-8, but gb18030 fits and"
         r" reads '它会喵喵叫,猫' there; .* `dataset.encoding=gb18030`"),
        ("text\ncafé au lait\n".encode("latin-1"), "utf-8", "0xe9 at offset 8 is not UTF-8, but cp1252 fits and reads"
         " 'café au lait'"),
        (CHINESE.encode(), "ascii", "pets.csv:2: byte 0xe5 at offset 11 is not ascii, but utf-8 fits"),
        (("猫猫\n" * 5).encode(), "gb18030", "pets.csv is UTF-8, not gb18030; leave `dataset.encoding` out"),
        (b"text\n\xff\xff,\x81\n", "utf-8", "pets.csv:2: byte 0xff at offset 5 is not UTF-8"),
        (b"text\nabc" + "猫".encode()[:2], "utf-8", "pets.csv:2: byte 0xe7 at offset 8 is not UTF-8"),
        ("text\n猫\n".encode("utf-16"), "utf-8", "is UTF-16; save it as UTF-8, or set `dataset.encoding=utf-16`"),
        ("text\na\0\n".encode("utf-16-le"), "utf-16-le", "pets.csv:2: a NUL byte at offset 12"),
    ],
)  # fmt: skip
def test_a_wrong_encoding_is_told_with_byte_line_and_the_likely_one(tmp_path, content, asked, message):
    with pytest.raises(DataError, match=message) as caught:
        read(write(tmp_path, content), asked)
    assert "\n" not in str(caught.value)


def test_a_bad_byte_far_into_a_file_is_found(tmp_path):
    """Beyond the first piece that is decoded."""
    content = b"text\n" + b"x\n" * 1_000_000 + b"\xff\n"
    with pytest.raises(DataError, match=r"pets.csv:1000002: byte 0xff at offset 2000005"):
        read(write(tmp_path, content))


@pytest.mark.parametrize("encoding", ["gb18031", "hex", "rot13", "unicode_escape", "idna", "", "a\0b"])
def test_what_is_no_text_encoding_is_refused(tmp_path, encoding):
    with pytest.raises(ConfigError, match=r"`dataset.encoding` .* is no text encoding"):
        read(write(tmp_path, b"text\nx\n"), encoding)

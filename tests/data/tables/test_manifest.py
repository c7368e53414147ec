"""Tables are read exactly as written, and every fault is told with its line."""

from __future__ import annotations

import pytest

from mmtrain.data.tables.manifest import given, read
from mmtrain.errors import DataError


def write(folder, content: str | bytes, name: str = "pets.csv"):
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("value", ["yes", "no", "on", "012", "1e5", "null", "NaN", " cat ", "1.0", "'q'", "日本"])
@pytest.mark.parametrize("name", ["pets.csv", "pets.tsv"])
def test_cells_stay_as_they_are_written(tmp_path, name, value):
    """Nothing is read as a number, truth value or gap."""
    assert read(write(tmp_path, f"label\n{value}\n", name)).columns == {"label": [value]}


def test_json_lines_keep_the_text_of_numbers(tmp_path):
    """`1.0`, `1e5` and a number too long for a float stay as written; null and absent keys are blank."""
    lines = '{"a": 1.0, "b": "x"}\n\n{"a": 1e5, "c": true}\n{"a": 12345678901234567890123, "b": null, "c": NaN}\n'
    table = read(write(tmp_path, lines, "pets.jsonl"))
    assert table.columns == {
        "a": ["1.0", "1e5", "12345678901234567890123"],
        "b": ["x", "", ""],
        "c": ["", "true", "NaN"],
    }
    assert list(table.lines) == [1, 3, 4]


def test_lists_and_objects_of_json_lines_become_json_text(tmp_path):
    """Tags, boxes: what reads the column takes them apart."""
    table = read(write(tmp_path, '{"tags": ["a", "é"], "box": {"x": 1.5, "n": [1, null]}}\n', "pets.jsonl"))
    assert table.columns == {"tags": ['["a", "é"]'], "box": ['{"x": 1.5, "n": [1, null]}']}


def test_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path):
    table = read(write(tmp_path, b"\xef\xbb\xbflabel,text\r\ncat,meow\r\n"))
    assert table.columns == {"label": ["cat"], "text": ["meow"]}


def test_rows_know_their_lines_past_line_breaks_in_cells(tmp_path):
    """A cell of two lines moves the next row down by one; an empty line is no row."""
    table = read(write(tmp_path, 'text,label\n"two\nlines",a\n\nx,b\n'))
    assert table.columns["text"] == ["two\nlines", "x"]
    assert table.place(1) == f"{tmp_path / 'pets.csv'}:5"


def test_a_table_of_several_blocks_keeps_the_order(tmp_path):
    """Rows are taken in by the ten thousand."""
    values = [str(number) for number in range(12_000)] * 2
    assert read(write(tmp_path, "\n".join(["a", *values]))).columns["a"] == values


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"text,label\n", r"has a header \(text, label\) but no rows"),
        (b"a,b,a\n1,2,3\n", "1 column names occur twice: 'a'"),
        (b"a,b\n1,2\n1,2,3\n", r"pets.csv:3: 3 cells, but the header has 2"),
        (b"a,b\n1,2\n1\n", r"pets.csv:3: 1 cells, but the header has 2"),
        (b"a,b\n1,caf\xe9\n", r"pets.csv:2: byte 0xe9 at offset 9 is not UTF-8"),
        (b"a,b\n1,2\n1,\x00\n", r"pets.csv:3: a NUL byte at offset 10"),
        ("a,b\n1,2\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
        (b'a,b\n1,2\n"open,2\n3,4\n', "the row that starts on line 3: .* is a quote left open"),
        (b"a,b\n1," + b"x" * 1_000_000, "the row that starts on line 2: field larger than field limit"),
    ],
)
def test_a_broken_table_is_refused_with_its_place(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as caught:
        read(write(tmp_path, content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "pets.jsonl:2: not a row"),
        ("[1]", "the text is no object"),
        ('{"a": 1, "a": 2}', "the key 'a' occurs twice"),
        ('{"a": {"b": 1, "b": 2}}', "the key 'b' occurs twice"),
        ('{"a": "\\u0000"}', "NUL or half a surrogate pair"),
        ('{"a": "\\ud800"}', "NUL or half a surrogate pair"),
        ("[" * 100_000, "pets.jsonl:2: not a row"),
    ],
)
def test_a_broken_json_line_is_refused_with_its_place(tmp_path, line, message):
    with pytest.raises(DataError, match=message):
        read(write(tmp_path, '{"a": "fine"}\n' + line, "pets.jsonl"))


def test_an_unknown_suffix_is_refused_naming_the_known_ones(tmp_path):
    with pytest.raises(DataError, match=r"'.xlsx' is not a table mmtrain reads; use one of .csv, .tsv, .jsonl"):
        read(write(tmp_path, "", "pets.xlsx"))


def test_a_table_that_is_not_there_names_the_key(tmp_path):
    with pytest.raises(DataError, match=r"No such file or directory; check `dataset.path`"):
        read(tmp_path / "none.csv")


def test_a_missing_column_is_answered_with_the_nearest_and_all(tmp_path):
    table = read(write(tmp_path, "text,label\nx,a\n"))
    with pytest.raises(
        DataError, match=r"no column 'lable' .*; columns: text, label\. Did you mean `dataset.target=label`\?"
    ):
        table.column("lable", "dataset.target")


def test_ids_are_row_numbers_unless_there_is_a_column(tmp_path):
    """The column `id` is taken unasked, another one by name."""
    assert read(write(tmp_path, "a\nx\ny\n")).identities(None) == ["1", "2"]
    table = read(write(tmp_path, "id,key\nx,k\ny,l\n"))
    assert table.identities(None) == ["x", "y"]
    assert table.identities("key") == ["k", "l"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,a\nx,1\ny,1\nx,1\n", r"pets.csv:4: id 'x' is also on line 2; 1 of 3 rows repeat an id"),
        ("id,a\nx,1\n ,1\n", r"pets.csv:3: the cell of column 'id' is blank"),
    ],
)
def test_ids_must_be_distinct(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read(write(tmp_path, content)).identities(None)


def test_rows_in_python_become_a_table():
    """None, "" and a column left out are blank; numbers are written as JSON lines write them."""
    table = given([{"id": 7, "text": "meow"}, {"text": None, "loud": True}, {"id": 0.5, "text": ""}])
    assert table.columns == {"id": ["7", "", "0.5"], "text": ["meow", "", ""], "loud": ["", "true", ""]}
    assert (table.place(1), table.line(1), table.path) == ("row 2", "row 2", None)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows were given"),
        ([{"text": "a"}, {"text": float("nan")}], r"row 2: `text` is 'nan' \(float\); give text or None"),
        ([{"image": b"PNG"}], r"row 1: `image` is .* \(bytes\); give text or None"),
        ([{"text": "a\0b"}], "row 1: `text`"),
        (["text"], "row 1 is a str, not a mapping"),
    ],
)
def test_faults_of_rows_in_python_name_the_row(rows, message):
    with pytest.raises(DataError, match=message):
        given(rows)

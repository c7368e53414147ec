"""A survey finds in the rows of a split what training on them would meet, by numbers one can count in the table."""

import pytest

from mmtrain.contracts import SignalSpec
from mmtrain.data.dataset import Data
from mmtrain.data.readers.text import TextReader
from mmtrain.data.targets.classes import ClassTarget, MultilabelTarget
from mmtrain.errors import DataError
from mmtrain.survey import length_line, lines, take
from tests.data.conftest import MemorySource
from tests.data.test_dataset import NumberReader

ROWS = [
    {"text": "a b c", "size": b"1", "label": "x"},
    {"text": "b", "size": None, "label": "y"},
    {"text": "a b c", "size": b"1", "label": "x"},  # as s0
    {"text": "a b c", "size": b"1", "label": "y"},  # as s0, and another label
    {"text": "b", "size": None, "label": "y", "split": "val"},  # as s1
    {"text": "c", "size": b"?", "label": "x", "split": "val"},
    {"text": None, "size": b"3", "label": "x", "split": "test"},
]


def data(rows=ROWS):
    source = MemorySource(rows, {"text": "text", "size": "number"})
    readers = {"text": lambda name: TextReader(name, max_length=3), "size": NumberReader}
    return Data.prepare(source, readers=readers, modalities=None, targets={"label": ClassTarget("label")})


def test_every_row_is_read_and_counted():
    found = take(data())

    assert found.rows == found.read == {"train": 4, "val": 2, "test": 1}
    assert found.lengths == {"text": [3, 1, 3, 3, 1, 1]}
    assert found.classes["label"]["val"] == {"x": 1, "y": 1}


def test_equal_rows_are_found():
    """In one split, across two, and with another label."""
    found = take(data())

    assert found.twice == [("s2", "s0"), ("s3", "s0"), ("s4", "s1")]
    assert found.across == [("s4", "s1")]
    assert found.disputed == [("s3", "s0")]


def test_a_row_that_cannot_be_read_is_found():
    found = take(data())

    assert found.bad == {"val": {"s5": "rows:5 (size): could not convert string to float: b'?'"}}


@pytest.mark.parametrize(
    ("policy", "most", "message"),
    [
        ("error", 1.0, "rows:5 .*\n1 of 7 rows cannot be read; mend the files, or .*`on_bad_sample=skip`"),
        ("skip", 0.4, r"1 of 2 rows of val could not be read, more than `max_bad_fraction` \(=0.4\)"),
        ("skip", 0.5, None),
    ],
)
def test_bad_rows_are_refused_where_training_would(policy, most, message):
    found = take(data())

    if message is None:
        found.refuse_bad(policy, most)
    else:
        with pytest.raises(DataError, match=message):
            found.refuse_bad(policy, most)


@pytest.mark.parametrize(("sample", "read"), [(1, [1, 0, 0]), (3, [2, 1, 0]), (7, [4, 2, 1]), (100, [4, 2, 1])])
def test_a_sample_is_taken_at_even_distances(sample, read):
    """Of seven rows three: the first, third and fifth."""
    assert list(take(data(), sample).read.values()) == read


def test_the_lines_name_what_was_found():
    said = "\n".join(lines(take(data()), data()))

    assert "label: 2 classes, in train 2 rows each; the largest has 50% of all rows" in said
    assert "note: test has no row of 1 classes: y" in said
    assert "text: 1 to 3 steps, median 2, of at most 3; 3 of 6 fill that, and are cut if longer" in said
    assert "bad: rows:5 (size): could not convert string to float" in said
    assert "note: 1 rows equal a row of another split: what is trained on is tested on, the first: s4 as s1" in said


def test_tags_are_counted_one_by_one():
    """Three rows with two tags, one with one of them: a tag may be on every row."""
    rows = [{"text": "a", "label": label} for label in ("x|y", "y|x", "x | y", "y")]
    source = MemorySource(rows, {"text": "text"})
    made = Data.prepare(
        source, readers={"text": TextReader}, modalities=None, targets={"label": MultilabelTarget("label")}
    )

    found = take(made)

    assert found.classes == {"label": {"train": {"x": 3, "y": 4}}}
    assert next(lines(found, made)) == (
        "label: 2 tags, in train from 3 rows ('x') to 4 ('y'); the largest has 100% of all rows"
    )


def test_lengths_of_sounds_are_told_in_seconds():
    spec = SignalSpec("audio", "audio", length=2000, sample_rate=1000)

    assert length_line([500, 1500, 700], spec) == "0.50 to 1.50 s, median 0.70, of at most 2.00"
    assert length_line([], spec) == "none was read"

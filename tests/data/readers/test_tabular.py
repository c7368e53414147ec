"""Cells of a table become standardised numbers and ids, as the training rows say; all else is refused in one line."""

import math
from dataclasses import replace

import pytest
import torch

from mmtrain.contracts import ColumnSpec, SignalSpec
from mmtrain.data.readers.tabular import TabularReader
from tests.components import read

ROWS = [("2", "cat", "1"), ("4", "dog", "1"), ("6", "cat", None), (" ", "ant", "1")]


@pytest.fixture
def reader() -> TabularReader:
    reader = TabularReader("tabular")
    reader.fit(ROWS)
    return reader


def test_numbers_have_mean_and_deviation_and_words_are_categories():
    """2, 4, 6 have mean 4 and deviation sqrt(8/3), blank cells aside; a constant column keeps a deviation of 1."""
    spec = TabularReader("tabular").fit(ROWS)

    assert (spec.kind, spec.shape, spec.length) == ("tabular", (), 3)
    assert spec.columns[0] == ColumnSpec(mean=4.0, std=pytest.approx(math.sqrt(8 / 3)))
    assert spec.columns[1:] == (ColumnSpec(("ant", "cat", "dog")), ColumnSpec(mean=1.0, std=1.0))


def test_a_row_becomes_standardised_numbers_and_ids(reader: TabularReader):
    """4 is the mean; ant, cat, dog are 1, 2, 3; spaces around a cell do not count."""
    values = read(reader, (" 4", "dog ", "3"))

    assert values.dtype == torch.float32
    assert values.tolist() == [0, 3, 2]


def test_a_category_that_training_lacks_has_its_own_id_and_a_blank_cell_is_nan(reader: TabularReader):
    values = read(reader, (None, "emu", " "))

    assert values[1].item() == 0
    assert values.isnan().tolist() == [True, False, True]


@pytest.mark.parametrize("cell", ["0", "-1", "+3.5", ".5", "5.", "1e5", "2E-3", "-0.25"])
def test_what_is_written_as_a_number_is_one(cell: str):
    assert TabularReader("tabular").fit([(cell,)]).columns == (ColumnSpec(mean=float(cell)),)


@pytest.mark.parametrize("cell", ["012", "nan", "inf", "1_000", "1,5", "0x1f", "٣", "1e999", "."])
def test_what_is_not_is_a_category(cell: str):
    """A code with leading zeros is no number, whatever Python's float() would make of it."""
    assert TabularReader("tabular").fit([(cell,), ("1",)]).columns[0].categories == tuple(sorted((cell, "1")))


def test_listed_columns_hold_categories_and_all_others_numbers():
    """Codes such as 1, 2, 3 look like numbers."""
    spec = TabularReader("tabular", categories=[2]).fit([("1", "3"), ("3", "1")])

    assert spec.columns == (ColumnSpec(mean=2.0), ColumnSpec(("1", "3")))


def test_a_restored_reader_reads_alike(reader: TabularReader):
    other = TabularReader("tabular")
    other.restore(TabularReader("tabular").fit(ROWS))

    for row in ROWS:
        torch.testing.assert_close(read(other, row), read(reader, row), equal_nan=True)


@pytest.mark.parametrize(
    ("arguments", "rows", "message"),
    [
        ({}, [], "no training row tells the columns of `tabular`"),
        ({}, [("1", None), ("2", " ")], "column 2 of `tabular` is blank in every training row; leave it out"),
        ({}, [("1",), ("2", "3")], "the row has 2 columns, the first one 1"),
        ({}, ["1"], "expected the cells of a row, got one str"),
        ({}, [(b"\x89PNG",)], "expected numbers and categories, got the content of a file"),
        ({}, [("1e308",), ("-1e308",)], "column 1 of `tabular` has numbers too large"),
        ({"categories": []}, [("1",), ("n/a",)], r"column 1 of `tabular` holds 'n/a', no number; add 1 to `categor"),
        ({"categories": [2]}, [("1",)], r"`categories` \(=\[2\]\): `tabular` has 1 columns"),
        ({"max_categories": 2}, [("a",), ("b",), ("c",)], r"more than `max_categories` \(=2\) distinct values such as"),
    ],
)
def test_rows_that_bear_nothing_out_are_refused(arguments: dict, rows: list, message: str):
    with pytest.raises(ValueError, match=message):
        TabularReader("tabular", **arguments).fit(rows)


@pytest.mark.parametrize("categories", [[0], [1, 1], [-2]])
def test_columns_are_counted_from_one_and_named_once(categories: list[int]):
    with pytest.raises(ValueError, match="must list different columns, counted from 1"):
        TabularReader("tabular", categories=categories)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (("red", "cat", "1"), "column 1 of `tabular` is 'red', where training had numbers"),
        (("1", "cat"), "the row has 2 columns, the first one 3"),
        (("1e300", "cat", "1"), "a number too far from those of training"),
        ("1", "expected the cells of a row, got one str"),
    ],
)
def test_a_row_unlike_those_of_training_is_refused(reader: TabularReader, cell: object, message: str):
    with pytest.raises(ValueError, match=message):
        reader.decode(cell)


def test_a_spec_without_columns_is_refused():
    with pytest.raises(ValueError, match="`tabular` has no columns"):
        TabularReader("tabular").restore(replace(SignalSpec("tabular", "tabular"), length=3))

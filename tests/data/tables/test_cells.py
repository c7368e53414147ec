"""Columns behave as lists of strings do, in memory and in a mapped file."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtrain.data.tables import cells
from mmtrain.data.tables.cells import Column, gather
from mmtrain.errors import DiskError


@pytest.mark.parametrize("in_memory", [0, 2**20], ids=["file", "memory"])
def test_a_column_gives_back_its_cells(monkeypatch, in_memory):
    """By number, from the end, by slice, one after another, and after pickling; with blank cells and any script."""
    monkeypatch.setattr(cells, "_IN_MEMORY", in_memory)
    given = ["cat", "", "日本 語", "é", "\0", "two\nlines", "😀"]
    column = Column.of(given)
    assert (len(column), column[2], column[-1], column[1:3], list(column)) == (
        7,
        "日本 語",
        "😀",
        ["", "日本 語"],
        given,
    )
    assert pickle.loads(pickle.dumps(column)) == column == given
    for row in (7, -8):
        with pytest.raises(IndexError):
            column[row]


def test_an_empty_column_is_one():
    assert (len(Column.of([])), list(Column.of([""]))) == (0, [""])


def test_columns_differ_where_a_boundary_moves():
    """The text of all cells together is the same."""
    assert Column.of(["ab", "c"]) != Column.of(["a", "bc"])
    assert Column.of(["ab", "c"]) != ["ab"]


def test_blocks_are_put_together_and_gaps_are_blank():
    """A column that comes up late is blank before; one that a block lacks, in its rows."""
    columns, numbers = gather([([1, 2], {"a": ["x", "y"]}), ([5], {"b": ["z"]})])
    assert columns == {"a": ["x", "y", ""], "b": ["", "", "z"]}
    assert list(numbers) == [1, 2, 5]


def test_a_full_folder_for_temporary_files_is_told(monkeypatch, tmp_path):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cells.tempfile, "SpooledTemporaryFile", full)
    with pytest.raises(DiskError, match="No space left on device; set TMPDIR"):
        Column.of(["a"])


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.lists(st.text(st.sampled_from(" \t\x1c\x7f\u3000\u2028\x00a水"), max_size=3)))
def test_a_cell_of_white_space_is_not_filled(cells):
    """Of whatever script."""
    assert Column.of(cells).filled().tolist() == [bool(cell.strip()) for cell in cells]

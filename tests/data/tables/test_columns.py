"""Modalities of several columns: tables of numbers, pictures in a row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmtrain.data.tables.columns import Modality, modalities
from mmtrain.data.tables.manifest import given
from mmtrain.data.tables.table import TableSource
from mmtrain.errors import DataError

ROWS = [
    {"image": "a.png", "image_2": "b.png", "age": 3, "breed": "tabby", "label": "cat", "split": "train"},
    {"image": "a.png", "image_2": None, "age": None, "breed": "pug", "label": "dog", "split": "train"},
    {"image": None, "image_2": None, "age": None, "breed": " ", "label": "dog", "split": "val"},
]


@pytest.fixture
def pets(tmp_path: Path) -> str:
    """A table with two pictures, a number and a category a row."""
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(name.encode())
    lines = [",".join("" if cell is None else str(cell) for cell in row.values()) for row in ROWS]
    (tmp_path / "pets.csv").write_text("\n".join([",".join(ROWS[0]), *lines, ""]), encoding="utf-8")
    return str(tmp_path / "pets.csv")


def test_columns_become_one_modality(pets):
    """A reader gets their cells in the order of the config, None where one is blank; nothing where all are."""
    source = TableSource(
        path=pets, kinds={"views": "video"}, columns={"views": ["image_2", "image"], "tabular": ["age", "breed"]}
    )
    assert source.kinds == {"views": "video", "tabular": "tabular"}
    assert [source.cell(row, "views") for row in range(3)] == [(b"b.png", b"a.png"), (None, b"a.png"), None]
    assert [source.cell(row, "tabular") for row in range(3)] == [("3", "tabby"), (None, "pug"), None]
    assert (source.present(1, "views"), source.present(2, "views")) == (True, False)
    assert source.place(0, "views") == f"{pets}:2 (b.png, a.png)"


def test_a_tabular_modality_of_one_column_is_a_tuple_too(pets):
    assert TableSource(path=pets, kinds={"age": "tabular"}).cell(0, "age") == ("3",)


def test_columns_that_are_joined_are_no_modalities_of_their_own(pets):
    """Without `kinds` the others are still found by name; two pictures keep apart unless they are joined."""
    source = TableSource(path=pets, columns={"tabular_pet": ["age", "breed"]})
    assert source.kinds == {"image": "image", "image_2": "image", "tabular_pet": "tabular"}
    assert source.notes == []
    assert TableSource(path=pets, columns={"video": ["image", "image_2"]}).kinds == {"video": "video"}


def test_a_column_may_have_another_name_as_a_modality(pets):
    source = TableSource(path=pets, kinds={"photo": "image"}, columns={"photo": ["image_2"]})
    assert source.cell(0, "photo") == b"b.png"


def test_a_file_that_is_not_there_is_told_by_its_column(pets):
    (Path(pets).parent / "b.png").unlink()
    with pytest.raises(DataError, match=r"1 of 3 rows have an unusable `image_2`: line 2: no file 'b.png'"):
        TableSource(path=pets, kinds={"views": "video"}, columns={"views": ["image", "image_2"]})


@pytest.mark.parametrize(
    ("kinds", "columns", "message"),
    [
        (None, {"views": ["image", "image_2"]}, "`dataset.kinds={views: text | image"),
        (None, {"image": ["image", "image_2"]}, "`columns.image` joins 2 columns, but image has one"),
        (None, {"video": []}, "`columns.video` is empty"),
        (None, {"video": ["image", "image"]}, "names a column twice"),
        (None, {"tabular": ["age", "label"]}, "`columns` and `target` both name the column 'label'"),
        (None, {"tabular": ["agee"]}, "no column 'agee' (`dataset.columns.tabular`)"),
        ({"view": "video"}, {"views": ["image", "image_2"]}, "no column 'view' (`dataset.kinds`)"),
    ],
)
def test_kinds_and_columns_must_go_together(pets, kinds, columns, message):
    with pytest.raises((DataError, ValueError), match=re.escape(message)):
        TableSource(path=pets, kinds=kinds, columns=columns)


def test_rows_to_predict_may_lack_some_of_the_columns(pets):
    """They are then blank; a modality without any of its columns is absent."""
    columns = {"tabular": ["age", "breed"], "views": ["image", "image_2"]}
    kinds = {"tabular": "tabular", "views": "video"}
    source = TableSource.for_prediction([{"breed": "pug"}], kinds=kinds, columns=columns)
    assert source.cell(0, "tabular") == (None, "pug")
    assert (list(source.kinds), source.cell(0, "views")) == (["tabular"], None)


def test_the_fingerprint_knows_which_columns_are_joined(pets):
    def fingerprint(*columns: str) -> str:
        return TableSource(path=pets, columns={"tabular": list(columns)}).fingerprint()

    assert (
        len({fingerprint("age"), fingerprint("breed"), fingerprint("age", "breed"), fingerprint("breed", "age")}) == 4
    )


def test_a_modality_knows_whether_its_cells_name_files():
    """Those of a kind that mmtrain does not know do: such readers get the content."""
    table = given([{"depth": "a.raw"}])
    assert modalities(table, {"depth": "depth"}, None, set()) == {"depth": Modality("depth", ("depth",))}
    assert Modality("depth", ("depth",)).names_files
    assert not Modality("tabular", ("age",)).names_files

"""Parquet tables and saved Hugging Face datasets: cells as text, media read from the table itself."""

from __future__ import annotations

import json
import pickle
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from mmtrain.data.tables import arrow_media
from mmtrain.data.tables.manifest import Manifest, read
from mmtrain.data.tables.table import TableSource
from mmtrain.errors import DataError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

STRUCT = pa.struct({"bytes": pa.binary(), "path": pa.string()})
CLASSES = {"img": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
DESCRIBED = {b"huggingface": json.dumps({"info": {"features": CLASSES}}).encode()}


def write(folder: Path, columns: dict[str, object], **how: object) -> Path:
    table = pa.table(columns)
    pq.write_table(table, folder / "t.parquet", **how)
    return folder / "t.parquet"


def save(folder: Path, table: pa.Table, files: int = 1) -> Path:
    """As `Dataset.save_to_disk` does: Arrow streams, and their names in state.json."""
    folder.mkdir(parents=True)
    names = [f"data-{number:05d}-of-{files:05d}.arrow" for number in range(files)]
    for number, name in enumerate(names):
        part = table.slice(number * len(table) // files, len(table) // files)
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(part, max_chunksize=2)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    return folder


def content(table: Manifest, name: str) -> list[bytes]:
    return [table.stores[name].read(row) for row in range(len(table)) if table.columns[name][row]]


@pytest.mark.parametrize(
    ("values", "cells"),
    [
        (pa.array(["cat", "", None, "日本"]), ["cat", "", "", "日本"]),
        (pa.array([1, None, -5, 10**15]), ["1", "", "-5", "1000000000000000"]),
        (pa.array([1.0, 0.1, None, 1e20]), ["1.0", "0.1", "", "1e+20"]),
        (pa.array(np.array([1, 0.1, 1e-7, 3], np.float32)), ["1.0", "0.1", "1e-07", "3.0"]),
        (pa.array([True, False, None, True]), ["true", "false", "", "true"]),
        (pa.array(["a", "b", "a", None]).dictionary_encode(), ["a", "b", "a", ""]),
        (pa.array([date(2024, 2, 29), None, date(1, 1, 1), None]), ["2024-02-29", "", "0001-01-01", ""]),
        (pa.array([Decimal("1.50"), None, Decimal("2.00"), None]), ["1.50", "", "2.00", ""]),
        (pa.array([["a", "é"], [], None, ["b"]]), ['["a", "é"]', "[]", "", '["b"]']),
        (pa.array([{"x": 1.5}, None, {"x": None}, {"x": 2.0}]), ['{"x": 1.5}', "", '{"x": null}', '{"x": 2.0}']),
        (pa.nulls(4), ["", "", "", ""]),
    ],
)
def test_values_become_text(tmp_path, values, cells):
    """Integers without a point, floats at their own precision, nothing for nulls."""
    assert read(write(tmp_path, {"a": values})).columns["a"] == cells


@pytest.mark.parametrize("groups", [1, 2, 100])
def test_bytes_in_a_column_are_media_read_by_row(tmp_path, groups):
    """Whatever the row groups; a null is a blank cell, and the other cells are distinct."""
    images = [b"a", None, b"c", b"d", b"a"]
    table = read(write(tmp_path, {"image": pa.array(images, pa.binary())}, row_group_size=groups))
    assert table.columns["image"] == ["1.bytes", "", "3.bytes", "4.bytes", "5.bytes"]
    assert content(table, "image") == [b"a", b"c", b"d", b"a"]
    assert (table.place(3), table.line(3)) == (f"{tmp_path}/t.parquet:4", "row 4")


def test_structs_of_bytes_and_path_are_media(tmp_path):
    """Cells keep the names, with the row so that equal names stay apart; the classes of the labels are named."""
    images = pa.array([{"bytes": b"a", "path": "x/1.png"}, None, {"bytes": b"c", "path": "1.png"}], STRUCT)
    table = pa.table({"img": images, "label": [1, 0, -1]}).replace_schema_metadata(DESCRIBED)
    pq.write_table(table, tmp_path / "t.parquet")
    read_back = read(tmp_path / "t.parquet")
    assert read_back.columns == {"img": ["1/1.png", "", "3/1.png"], "label": ["dog", "cat", ""]}
    assert (content(read_back, "img"), read_back.kinds) == ([b"a", b"c"], {"img": "image"})


def test_paths_without_bytes_are_files_under_the_root(tmp_path):
    (tmp_path / "a.png").write_bytes(b"a")
    columns = {"label": list("xyxyx"), "split": ["train", "train", "val", "test", "test"]}
    for path in ("a.png", "../a.png"):
        images = pa.array([{"bytes": None, "path": path}] * 5, STRUCT)
        table = write(tmp_path, {"image": images, **columns})
        if path == "a.png":
            assert TableSource(path=str(table)).cell(2, "image") == b"a"
        else:
            with pytest.raises(
                DataError, match=r"5 of 5 rows have an unusable `image`: row 1: .* leaves the data root"
            ):
                TableSource(path=str(table))


def test_a_saved_dataset_is_read_with_its_splits(tmp_path):
    """The files of a split one after another, and the splits by the names that dataset_dict.json has."""
    images = pa.array([{"bytes": bytes([number]), "path": None} for number in range(6)], STRUCT)
    table = pa.table({"img": images, "label": [0, 1, 0, 1, 0, 1]}).replace_schema_metadata(DESCRIBED)
    save(tmp_path / "set/train", table.slice(0, 4), files=2)
    save(tmp_path / "set/test", table.slice(4))
    (tmp_path / "set/dataset_dict.json").write_text('{"splits": ["train", "test"]}')

    source = TableSource(path=str(tmp_path / "set"), val_fraction=0.5)
    assert source.kinds == {"img": "image"}
    assert [source.cell(row, "img") for row in range(6)] == [bytes([number]) for number in range(6)]
    assert [source.target(row, "label") for row in range(3)] == ["cat", "dog", "cat"]
    assert list(source.splits["test"]) == [4, 5]
    assert source.place(5, "img") == f"{tmp_path}/set:6 (6.bytes)"
    again = pickle.loads(pickle.dumps(source))
    assert (again.cell(5, "img"), again.fingerprint()) == (b"\5", source.fingerprint())

    assert list(read(tmp_path / "set/train").columns) == ["img", "label"]


def test_a_folder_of_parquet_files_is_one_table(tmp_path):
    """With a split where the names of the files say it."""
    for split, values in (("train", ["a", "b"]), ("test", ["c"])):
        pq.write_table(pa.table({"text": values}), tmp_path / f"{split}-00000-of-00001.parquet")
    assert read(tmp_path).columns == {"text": ["c", "a", "b"], "split": ["test", "train", "train"]}

    pq.write_table(pa.table({"label": ["x"]}), tmp_path / "val.parquet")
    with pytest.raises(DataError, match=r"val.parquet has other columns than .*test-00000-of-00001.parquet: label"):
        read(tmp_path)


def test_the_fingerprint_follows_the_sizes_of_media_in_the_table(tmp_path):
    columns = {"label": list("xyxy"), "split": ["train", "train", "val", "test"]}
    seen = [
        TableSource(path=str(write(tmp_path, {"image": pa.array([b"a", b"b", b"c", last]), **columns}))).fingerprint()
        for last in (b"d", b"d" * 1000, b"d")
    ]
    assert (seen[0] == seen[2], seen[0] == seen[1]) == (True, False)


def test_few_row_groups_are_kept(tmp_path, monkeypatch):
    """Ten groups of 1,000 bytes, of which 2,500 may stay: two."""
    table = read(write(tmp_path, {"image": pa.array([bytes([n]) * 1000 for n in range(10)])}, row_group_size=1))
    monkeypatch.setattr(arrow_media, "_KEPT", 2500)
    assert content(table, "image") == [bytes([n]) * 1000 for n in range(10)]
    assert len(table.stores["image"]._kept) == 2


def test_a_row_group_that_is_too_large_is_refused_with_the_way_out(tmp_path, monkeypatch):
    path = write(tmp_path, {"image": pa.array([bytes(1000)] * 4), "label": list("xyxy")}, compression=None)
    monkeypatch.setattr(arrow_media, "_KEPT", 500)
    with pytest.raises(DataError, match=r"t.parquet: a row group of `image` has .* row_group_size=100"):
        TableSource(path=str(path), val_fraction=0.3, test_fraction=0.3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: (folder / "t.parquet").write_bytes(b"PAR1 but not at the end"), "cannot read the table"),
        (lambda folder: write(folder, {"a": pa.array([], pa.string())}), "t.parquet is empty"),
        (lambda folder: write(folder, {"a": ["x\0y"]}), "t.parquet: column `a`: 'a' holds a NUL"),
        (lambda folder: write(folder, {"image": pa.array([{"bytes": b"a", "path": None}, {"bytes": None, "path": "b"}],
         STRUCT)}), "`image` holds the bytes of some files and only the paths of others"),
        (lambda folder: pq.write_table(pa.table([["x"], ["y"]], ["a", "a"]), folder / "t.parquet"), "occur twice: 'a'"),
    ],
)  # fmt: skip
def test_a_broken_parquet_table_is_refused(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / "t.parquet")
    assert "\n" not in str(caught.value)


def test_columns_of_other_types_are_told(tmp_path):
    """A list of pictures is not read."""
    table = read(write(tmp_path, {"a": ["x"], "images": pa.array([[b"1", b"2"]])}))
    assert (list(table.columns), table.notes) == (["a"], ["columns that are neither text nor media: images"])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("state.json", '{"_data_files": [{"filename": "../out.arrow"}]}', "leaves the data root"),
        ("state.json", '{"_data_files": [{"filename": "gone.arrow"}]}', "no file 'gone.arrow'"),
        ("state.json", "{", "no complete dataset of Hugging Face: JSONDecodeError"),
        ("state.json", "{}", "no complete dataset of Hugging Face: KeyError"),
        ("dataset_dict.json", '{"splits": ["gone"]}', "no file 'gone/state.json'"),
        ("data-00000-of-00001.arrow", "no arrow", "cannot read the table"),
    ],
)
def test_a_damaged_saved_dataset_is_refused(tmp_path, name, text, message):
    folder = save(tmp_path / "set", pa.table({"a": ["x", "y"]}))
    (tmp_path / "out.arrow").write_bytes((folder / "data-00000-of-00001.arrow").read_bytes())
    (folder / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read(folder)


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    path = write(tmp_path, {"a": ["x"]})
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match=r"pip install 'mmtrain\[parquet\]'"):
        read(path)


def test_row_groups_that_hold_media_are_shards(tmp_path):
    """Each is decoded as a whole, so a plan had better read them one after another; without media they are none."""
    media = {"image": pa.array([b"a", b"b", b"c"]), "label": ["x", "y", "x"]}
    assert read(write(tmp_path, media, row_group_size=2)).shards == [range(0, 2), range(2, 3)]
    assert read(write(tmp_path, {"label": ["x", "y", "x"]}, row_group_size=2)).shards == ()

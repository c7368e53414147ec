"""The user's table: columns become modalities, splits are honoured, every fault names its row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from mmtrain.data.tables.table import TableSource
from mmtrain.errors import DataError

SIX = ["train", "train", "train", "val", "test", "test"]


def write(folder: Path, columns: dict[str, Sequence[str]], name: str = "pets.csv") -> str:
    """A table beside a folder `media` with the files a.png to f.png and a.wav."""
    (folder / "media").mkdir(exist_ok=True)
    for file in ("a.png", "b.png", "c.png", "d.png", "e.png", "f.png", "a.wav"):
        (folder / "media" / file).write_bytes(file.encode())
    rows = [",".join(row) for row in zip(*columns.values(), strict=True)]
    (folder / name).write_text("\n".join([",".join(columns), *rows, ""]), encoding="utf-8")
    return str(folder / name)


def pets(**changed: Sequence[str]) -> dict[str, Sequence[str]]:
    images = [f"media/{letter}.png" for letter in "abcdef"]
    return {"image": images, "text": list("uvwxyz"), "label": ["cat", "dog"] * 3, "split": SIX, **changed}


def test_a_table_becomes_modalities_labels_and_splits(tmp_path):
    """Text cells are given as they are, media cells as the content of their files."""
    source = TableSource(path=write(tmp_path, pets()))
    assert source.kinds == {"image": "image", "text": "text"}
    assert {split: list(rows) for split, rows in source.splits.items()} == {
        "train": [0, 1, 2],
        "val": [3],
        "test": [4, 5],
    }
    assert source.split_origin == "column `split`"
    assert (source.cell(1, "image"), source.cell(1, "text"), source.target(1, "label")) == (b"b.png", "v", "dog")
    assert source.notes == []


def test_columns_are_modalities_by_the_start_of_their_names(tmp_path):
    """`image_2` is a picture; `image_width`, whose cells are no file names, and `note` are told as unused."""
    extra = {"image_2": ["media/a.png"] * 6, "audio_left": ["media/a.wav"] * 6}
    source = TableSource(path=write(tmp_path, pets(**extra, image_width=["640"] * 6, note=["n"] * 6)))
    assert source.kinds == {"image": "image", "text": "text", "image_2": "image", "audio_left": "audio"}
    assert "columns not used: image_width, note" in source.notes


def test_kinds_can_be_given_by_column(tmp_path):
    columns = {"photo": ["media/a.png"] * 6, "caption": ["x"] * 6, "label": ["a", "b"] * 3, "split": SIX}
    source = TableSource(path=write(tmp_path, columns), kinds={"photo": "image", "caption": "text"})
    assert source.kinds == {"photo": "image", "caption": "text"}
    assert source.cell(0, "photo") == b"a.png"


def test_a_blank_cell_is_an_absent_modality(tmp_path):
    """Empty or spaces only: the row lacks the modality, or one of several labels."""
    columns = pets(image=["", " ", *["media/c.png"] * 4], label=["", *"aaaaa"], size=list("123456"))
    source = TableSource(path=write(tmp_path, columns), target=["label", "size"])
    assert [source.present(row, "image") for row in range(3)] == [False, False, True]
    assert source.cell(0, "image") is None
    assert (source.target(0, "label"), source.target(0, "size")) == (None, "1")


def test_rows_without_a_label_are_an_error_or_left_out(tmp_path):
    """They are counted and named; left out, they are in no split."""
    path = write(tmp_path, pets(label=["cat", "", "dog", "cat", " ", "dog"]))
    with pytest.raises(DataError, match=r"2 of 6 rows have no `label`: \S+csv:3, \S+csv:6; .*on_blank_target=drop`"):
        TableSource(path=path)
    source = TableSource(path=path, on_blank_target="drop")
    assert {split: list(rows) for split, rows in source.splits.items()} == {"train": [0, 2], "val": [3], "test": [5]}
    assert source.notes == [
        f"2 of 6 rows have no `label` and are left out: {tmp_path}/pets.csv:3, {tmp_path}/pets.csv:6"
    ]
    with pytest.raises(DataError, match=r"6 of 6 rows have no `label`: .* fill the cells in\.$"):
        TableSource(path=write(tmp_path, pets(label=[""] * 6)), on_blank_target="drop")


def test_a_table_may_have_no_target(tmp_path):
    source = TableSource(path=write(tmp_path, pets()), target=None)
    assert (list(source.targets), source.target(0, "label")) == ([], None)


@pytest.mark.parametrize("label", ["yes", "012", "1e5", "null", "1.0"])
def test_labels_are_strings_as_written(tmp_path, label):
    assert TableSource(path=write(tmp_path, pets(label=[label] * 6))).target(0, "label") == label


def test_media_paths_start_at_the_table_or_at_data_root(tmp_path):
    """The working directory plays no part."""
    columns = pets(image=["a.png"] * 6)
    source = TableSource(path=write(tmp_path, columns), data_root=str(tmp_path / "media"))
    assert source.cell(0, "image") == b"a.png"
    with pytest.raises(DataError, match=r"no file 'a\.png' in"):
        TableSource(path=write(tmp_path, columns))
    with pytest.raises(DataError, match=r"no folder .*nowhere; check `dataset.data_root`"):
        TableSource(path=write(tmp_path, columns), data_root=str(tmp_path / "nowhere"))


def test_missing_files_are_counted_and_the_first_named(tmp_path):
    """Of seven rows without their file five are named, before anything is read."""
    columns = {"image": [f"{number}.png" for number in range(7)], "label": list("abababa")}
    with pytest.raises(DataError, match=r"7 of 7 rows have an unusable `image`: line 2: no file '0.png'") as caught:
        TableSource(path=write(tmp_path, columns))
    assert str(caught.value).count("no file") == 5


@pytest.mark.parametrize("cell", ["../secret.png", "/etc/passwd", "http://127.0.0.1/a.png", "media", "link.png"])
def test_a_path_out_of_the_data_root_is_refused_before_training(tmp_path, cell):
    """Also where the folder has been seen before and the file is a link."""
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "fine.png").write_bytes(b"fine")
    columns = {"image": ["fine.png", cell], "label": ["a", "b"], "split": ["train", "val"]}
    with pytest.raises(DataError, match="1 of 2 rows have an unusable `image`: line 3"):
        TableSource(path=write(folder, columns))


def test_a_file_that_vanishes_is_told_with_its_row(tmp_path):
    source = TableSource(path=write(tmp_path, pets()))
    (tmp_path / "media/b.png").unlink()
    with pytest.raises(DataError, match=r"pets.csv:3: `image`: no file 'media/b.png'"):
        source.cell(1, "image")


def test_places_name_line_and_file(tmp_path):
    source = TableSource(path=write(tmp_path, pets()))
    assert source.place(1) == f"{tmp_path}/pets.csv:3"
    assert source.place(1, "text") == f"{tmp_path}/pets.csv:3"
    assert source.place(1, "image") == f"{tmp_path}/pets.csv:3 (media/b.png)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "lable"}, r"no column 'lable' \(`dataset.target`\); .* Did you mean `dataset.target=label`\?"),
        ({"split": "spilt"}, r"no column 'spilt' \(`dataset.split`\); .* Did you mean `dataset.split=split`\?"),
        ({"group": "person"}, r"no column 'person' \(`dataset.group`\); columns: image, text, label, split"),
        ({"id": "key"}, r"no column 'key' \(`dataset.id`\)"),
        ({"kinds": {"imge": "image"}}, r"no column 'imge' \(`dataset.kinds`\)"),
    ],
)
def test_a_column_that_is_not_there_names_its_key(tmp_path, arguments, message):
    with pytest.raises(DataError, match=message):
        TableSource(path=write(tmp_path, pets()), **arguments)


def test_a_table_without_modalities_says_how_to_name_them(tmp_path):
    with pytest.raises(DataError, match=r"set `dataset.kinds=\{column: kind\}`; columns: photo, label"):
        TableSource(path=write(tmp_path, {"photo": ["media/a.png"] * 2, "label": ["a", "b"]}))


def test_the_target_cannot_be_a_modality_too(tmp_path):
    """A label that the model sees is no question; unasked, a target called `text` is no modality."""
    path = write(tmp_path, pets())
    with pytest.raises(ValueError, match="both name the column 'text'"):
        TableSource(path=path, target="text", kinds={"text": "text"})
    assert TableSource(path=path, target="text").kinds == {"image": "image"}


def test_without_val_rows_a_tenth_of_train_is_taken(tmp_path):
    """Equal `group` cells stay together, and the test rows stay as they are."""
    columns = {
        "text": [f"question {row}" for row in range(120)],
        "person": [f"p{row // 4}" for row in range(120)],
        "label": ["yes", "no"] * 60,
        "split": ["train"] * 100 + ["test"] * 20,
    }
    source = TableSource(path=write(tmp_path, columns), group="person", seed=3)
    assert {name: len(rows) for name, rows in source.splits.items()} == {"train": 92, "val": 8, "test": 20}
    assert {row // 4 for row in source.splits["train"]}.isdisjoint(row // 4 for row in source.splits["val"])
    assert list(source.splits["test"]) == list(range(100, 120))
    assert source.split_origin == "column `split`; val is 10% of train, drawn with seed 3, equal `person` kept together"
    assert source.notes == []


def test_without_a_split_column_rows_are_drawn_by_class(tmp_path):
    columns = {"text": [f"row {row}" for row in range(100)], "label": ["a", "b"] * 50}
    source = TableSource(path=write(tmp_path, columns))
    assert {name: len(rows) for name, rows in source.splits.items()} == {"train": 80, "val": 10, "test": 10}
    assert source.split_origin == "random with seed 0, stratified by `label`"


def test_a_file_in_two_splits_is_told(tmp_path):
    """A picture of the test that was trained on makes the accuracy too good."""
    images = [f"media/{letter}.png" for letter in "abcdaa"]
    assert TableSource(path=write(tmp_path, pets(image=images))).notes == [
        "1 files of `image` are in both train and test: line 2 (media/a.png) and line 6 (media/a.png);"
        " `dataset.on_leakage=move` puts such rows into one split"
    ]


def test_names_of_splits_that_are_unknown_say_the_option(tmp_path):
    path = write(tmp_path, pets(split=["tr", "tr", "tr", "va", "test", "test"]))
    with pytest.raises(
        DataError, match=r"pets.csv: unknown names in the split column: 'tr' \(3 rows\), 'va' \(1 rows\)"
    ):
        TableSource(path=path)
    assert list(TableSource(path=path, split_names={"tr": "train", "va": "val"}).splits["val"]) == [3]


def test_fractions_must_leave_rows_to_train_on(tmp_path):
    with pytest.raises(ValueError, match=r"`val_fraction` \(=0.5\) and `test_fraction` \(=0.5\) must leave rows"):
        TableSource(path=write(tmp_path, pets()), val_fraction=0.5, test_fraction=0.5)


def test_the_fingerprint_follows_what_changes_the_result(tmp_path):
    """Label, split, text and size of a file count; a column that nothing reads does not."""
    seen = [TableSource(path=write(tmp_path, pets())).fingerprint()]
    assert TableSource(path=write(tmp_path, pets(note=["n"] * 6))).fingerprint() == seen[0]
    for changed in (
        {"label": ["cat"] * 6},
        {"text": list("uvwxyy")},
        {"split": [*SIX[:4], "train", "test"]},
        {"image": [f"media/{letter}.png" for letter in "abcdee"]},
    ):
        seen.append(TableSource(path=write(tmp_path, pets(**changed))).fingerprint())
    path = write(tmp_path, pets())
    (tmp_path / "media/a.png").write_bytes(b"longer than before")
    seen.append(TableSource(path=path).fingerprint())
    assert len(set(seen)) == 6


def test_rows_to_predict_need_neither_split_nor_label(tmp_path):
    """A modality whose column is left out is absent in every row."""
    path = write(tmp_path, {"id": ["x", "y"], "image": ["media/a.png", ""]})
    source = TableSource.for_prediction(path, kinds={"image": "image", "text": "text"}, targets=("label",))
    assert source.splits == {"predict": range(2)}
    assert (list(source.ids), list(source.targets), dict(source.kinds)) == (["x", "y"], [], {"image": "image"})
    assert [source.present(row, "image") for row in range(2)] == [True, False]
    assert (source.present(0, "text"), source.cell(0, "text"), source.target(0, "label")) == (False, None, None)


def test_labels_of_rows_to_predict_are_read_where_they_are(tmp_path):
    source = TableSource.for_prediction(write(tmp_path, pets()), kinds={"text": "text"}, targets=("label",))
    assert source.target(1, "label") == "dog"


def test_a_table_to_predict_must_have_a_modality_of_the_model(tmp_path):
    path = write(tmp_path, {"caption": ["x"]})
    with pytest.raises(DataError, match=r"no column of a modality of the model \(text\); columns: caption"):
        TableSource.for_prediction(path, kinds={"text": "text"})


def test_rows_to_predict_may_be_given_in_python(tmp_path):
    """Media paths are relative to the data root, faults name the row, and an id that is repeated is refused."""
    write(tmp_path, pets())
    kinds = {"image": "image", "text": "text"}
    rows = [{"id": "x", "image": "media/a.png"}, {"id": "y", "text": "meow", "label": "cat"}]
    source = TableSource.for_prediction(rows, kinds=kinds, data_root=str(tmp_path), targets=("label",))
    assert (list(source.ids), source.splits) == (["x", "y"], {"predict": range(2)})
    assert (source.cell(0, "image"), source.cell(1, "image"), source.cell(1, "text")) == (b"a.png", None, "meow")
    assert (source.target(0, "label"), source.target(1, "label")) == (None, "cat")
    assert source.place(1, "text") == "row 2"

    with pytest.raises(DataError, match=r"the given rows: 1 of 2 rows have an unusable `image`: row 2: .*leaves the"):
        TableSource.for_prediction([rows[0], {"id": "z", "image": "../a.png"}], kinds=kinds, data_root=str(tmp_path))
    with pytest.raises(DataError, match="row 2: id 'x' is also on row 1"):
        TableSource.for_prediction([rows[0], rows[0]], kinds=kinds, data_root=str(tmp_path))
    with pytest.raises(DataError, match="the given rows: no column of a modality of the model"):
        TableSource.for_prediction([{"caption": "meow"}], kinds=kinds)

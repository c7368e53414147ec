"""How the rows of a table are divided, as a config says it."""

from __future__ import annotations

import pytest

from mmtrain.data.tables.division import Divider
from mmtrain.data.tables.manifest import given
from mmtrain.errors import DataError


def table(rows: int = 100, **columns):
    """Rows of two classes; a column is given as a function of the row's number."""
    made = {"label": lambda row: "ab"[row % 2], **columns}
    return given([{name: make(row) for name, make in made.items()} for row in range(rows)])


def divided(data, media=(), target="label", **arguments):
    return Divider(**arguments).divide(data, range(len(data)), target, media)


def sizes(division) -> dict[str, int]:
    return {name: len(rows) for name, rows in division.parts.items()}


def test_without_val_a_tenth_of_train_is_carved_out_by_class():
    """The test rows stay as they are."""
    made = divided(table(split=lambda row: "train" if row < 80 else "test"))
    assert sizes(made) == {"train": 72, "val": 8, "test": 20}
    assert sum(row % 2 for row in made.parts["val"]) == 4
    assert made.origin == "column `split`; val is 10% of train, drawn with seed 0"
    assert made.drawn == ("val",)


def test_rows_of_one_picture_are_carved_out_together():
    """Ten pictures with ten questions each: one picture validates. Nothing need be asked for."""
    data = table(picture=lambda row: f"{row // 10}.png", split=lambda row: "train")
    made = divided(data, ["picture"])
    assert len({row // 10 for row in made.parts["val"]}) == 1
    assert sizes(made) == {"train": 90, "val": 10}
    assert made.origin.endswith("rows of one `picture` kept together")


def test_files_that_link_too_many_rows_are_not_kept_together():
    """Two sounds are in all rows, so only the pictures, two rows each, can be divided."""
    data = table(sound=lambda row: f"{row % 2}.wav", picture=lambda row: f"{row // 2}.png")
    made = divided(data, ["sound", "picture"])
    where = {row: name for name, rows in made.parts.items() for row in rows}
    assert all(where[row] == where[row + 1] for row in range(0, 100, 2))
    assert made.origin == "random with seed 0, stratified by `label`, rows of one `picture` kept together"


def test_a_group_is_kept_together_in_place_of_files():
    data = table(picture=lambda row: "same.png", person=lambda row: f"p{row // 5}")
    made = divided(data, ["picture"], group="person")
    where = {row: name for name, rows in made.parts.items() for row in rows}
    assert all(len({where[row] for row in range(first, first + 5)}) == 1 for first in range(0, 100, 5))
    assert made.origin.endswith("equal `person` kept together")


def test_dates_divide_by_time():
    """The first month trains; no row is drawn."""
    data = table(day=lambda row: f"2026-{1 + row // 10:02}-15")
    made = divided(data, time="day")
    assert sizes(made) == {"train": 80, "val": 10, "test": 10}
    assert made.parts["test"] == list(range(90, 100))
    assert made.origin == "column `day`, the earliest rows train"
    assert made.drawn == ()


def test_a_cell_that_is_no_time_is_told_with_its_row():
    with pytest.raises(DataError, match=r"row 4: `day` is 'soon'; `dataset.time` needs ISO dates"):
        divided(table(day=lambda row: "soon" if row == 3 else "2026-01-01"), time="day")
    with pytest.raises(DataError, match="row 2: `day` is '2026-01-01'"):
        divided(table(day=lambda row: "2026-01-01" if row else "12"), time="day")


def test_folds_say_which_is_which():
    """Of two folds one is the test and val is carved out of the other, as out of all others if none shall validate."""
    made = divided(table(fold=lambda row: str(row % 5)), fold_column="fold", fold="4")
    assert sizes(made) == {"train": 60, "val": 20, "test": 20}
    assert made.origin == "column `fold`, of which '4' is test and '0' val"
    made = divided(table(fold=lambda row: str(row // 50)), fold_column="fold")
    assert sizes(made) == {"train": 45, "val": 5, "test": 50}
    assert made.origin == "column `fold`, of which '0' is test; val is 10% of train, drawn with seed 0"
    made = divided(table(fold=lambda row: str(row % 5)), fold_column="fold", val_fold=False)
    assert sizes(made) == {"train": 72, "val": 8, "test": 20}


def test_classes_that_are_too_few_to_divide_are_told():
    data = table(label=lambda row: f"rare {row % 2}" if row < 4 else "ab"[row % 2])
    assert divided(data).notes == [
        "2 classes have fewer rows than splits to draw, so all theirs train: 'rare 0' (2), 'rare 1' (2)"
    ]


def test_only_the_rows_asked_for_are_divided():
    made = Divider().divide(table(), range(0, 100, 2), "label", ())
    assert sorted(row for rows in made.parts.values() for row in rows) == list(range(0, 100, 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"time": "t", "fold_column": "f"}, r"`time` \(=t\) and `fold_column` \(=f\) are two ways; choose one"),
        ({"time": "t", "group": "g"}, r"`time` \(=t\) and `group` \(=g\) are two ways; choose one"),
        ({"fold": "1"}, r"`fold` \(=1\) needs `fold_column`"),
        ({"val_fold": False}, r"`val_fold` \(=False\) needs `fold_column`"),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, "must leave rows to train on"),
    ],
)
def test_two_ways_at_once_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Divider(**arguments)

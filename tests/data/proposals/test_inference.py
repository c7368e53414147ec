"""What columns seem to be, from their cells and files, with the evidence; and what kind of target they could be."""

from __future__ import annotations

import pytest

from mmtrain.data.proposals.inference import infer
from mmtrain.data.proposals.target_kinds import target_kind
from mmtrain.errors import DataError

FILES = {
    "a.png": b"\x89PNG\r\n\x1a\n",
    "b.png": b"\x89PNG\r\n\x1a\n",
    "c.wav": b"RIFF\0\0\0\0WAVEfmt ",
    "d.png": b"<html>",
}
SENTENCES = [f"the cat number {row} sat down" for row in range(12)]


@pytest.mark.parametrize(
    ("name", "cells", "role", "kind", "evidence"),
    [
        ("photo", ["a.png", "b.png", ""], "media", "image", "2 of 2 cells tried name files (PNG); 2 distinct, 1 blank"),
        ("photo", ["a.png", "gone.png"], "media", "image", "1 of 2 cells tried name files (PNG)"),
        ("photo", ["a.png", "b.png", "d.png"], "media", "image", "(PNG; 1 of 3 opened are not image)"),
        ("photo", ["c.wav"] * 3, "media", "audio", "(WAV)"),
        ("photo", ["d.png"] * 3, "other", "", "of no format that is read"),
        ("photo", ["x.png", "y.png"], "other", "", "names of image files, none of which is there"),
        ("photo", ["http://a/x.png", "http://a/y.png"], "other", "", "URLs, none of which is there: fetch them"),
        ("note", SENTENCES, "text", "text", "6.0 words on average; 12 distinct"),
        ("text", ["one", "two"] * 9, "text", "text", "1.0 words"),
        ("评论", [f"这只猫在第{row}个房间里睡觉" for row in range(12)], "text", "text", "words on average"),
        ("breed", ["tabby", "pug", "body only"] * 9, "category", "tabular", "3 distinct, such as"[:10]),
        ("品种", ["短毛猫", "金毛犬"] * 9, "category", "tabular", "'短毛猫'"),
        ("image_width", ["640", "320"] * 9, "number", "tabular", "numbers; 2 distinct"),
        ("age", ["1.5", "2", "1e1", "3", "-4"], "number", "tabular", "numbers"),
        ("key", ["x1", "x2", "x3"], "id", "", "an id by its name"),
        ("number", ["7", "8", "9"], "id", "", "counts the rows"),
        ("short_name", [f"name_{row}" for row in range(50)], "id", "", "names: hardly one value repeats"),
        ("tags", ["cat|black", "cat|white", "dog|black", "dog"] * 3, "tags", "text", "lists divided by '|'"),
        ("split", ["one", "two"] * 3, "split", "", "one (3), two (3)"),
        ("usage", ["train", "Test", "dev"] * 3, "split", "", "train (3), Test (3), dev (3)"),
        ("fold", ["1", "2"] * 3, "fold", "", "folds by its name"),
        ("speaker_id", ["7", "8"] * 3, "group", "", "a group by its name"),
        ("taken", ["2026-01-01", "2026-02-01T10:00", "2026-03-01"], "time", "", "dates"),
        ("same", ["x"] * 5, "other", "", "the same in every row"),
        ("nothing", ["", " "], "other", "", "blank in every row"),
    ],
)
def test_a_column_is_known_by_what_is_in_it(name, cells, role, kind, evidence):
    """Names decide only for splits, folds, groups, ids and `text`."""
    found = infer(name, cells, FILES.get)
    assert (found.role, found.kind) == (role, kind)
    assert evidence in found.evidence


def test_long_cells_are_shown_by_their_beginning():
    found = infer("note", ["a b c " * 99, *SENTENCES], FILES.get)
    assert found.evidence.endswith("such as 'a b c a b c a b c a b c a b c a b c a...', 'the cat number 0 sat down', "
                                   "'the cat number 1 sat down'")  # fmt: skip


def kind_of(cells: list[str], kinds: set[str] | None = None, name: str = "label"):
    return target_kind(infer(name, cells, FILES.get), cells, kinds or set())


@pytest.mark.parametrize(
    ("cells", "kind", "task"),
    [
        (["cat", "dog"] * 9, "class", "classification"),
        (["yes", "no", "012", "1e5", "null"] * 9, "class", "classification"),
        (["0", "1", "2"] * 9, "class", "classification"),
        (["true", "false", ""] * 9, "class", "classification"),
        (["cat;black", "cat;white", "dog;black", "dog"] * 3, "multilabel", "tagging"),
        (['["cat"]', "[]"] * 9, "multilabel", "tagging"),
        (["1.5", "2.5"] * 9, "number", "regression"),
        ([str(row) for row in range(0, 200, 2)], "number", "regression"),
        (SENTENCES, "text", "captioning"),
    ],
)
def test_the_kind_of_target_is_told_by_its_cells(cells, kind, task):
    found = kind_of(cells)
    assert (found.kind, found.tasks[0]) == (kind, task)


def test_a_text_beside_sounds_may_be_what_is_said():
    assert kind_of(SENTENCES, {"audio"}).tasks == ("speech_recognition",)
    assert kind_of(SENTENCES, {"audio", "image"}).tasks == ("captioning", "speech_recognition")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["x"] * 4, "has one value only"),
        ([" "] * 4, "has no value"),
        (["a.png", "b.png"], "names image files; choose a column of labels"),
        ([f"x{row}" for row in range(50)], "50 values in 50 rows, so hardly one repeats: it looks like an id"),
    ],
)
def test_what_cannot_be_learned_is_refused(cells, message):
    with pytest.raises(DataError, match=message):
        kind_of(cells)

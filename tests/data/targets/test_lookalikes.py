"""Class names that look alike are told with their rows, and stay classes of their own."""

from __future__ import annotations

import json

import pytest

from mmtrain.data.fitting import fit_targets
from mmtrain.data.memory import MemorySource
from mmtrain.data.targets.boxes import BoxesTarget
from mmtrain.data.targets.classes import ClassTarget, MultilabelTarget
from mmtrain.data.targets.kinds import TargetReader
from mmtrain.data.targets.lookalikes import lookalikes
from mmtrain.target import TargetSpec


def test_names_that_differ_in_case_blanks_or_form_look_alike():
    """The commonest of a group comes first; `é` is one sign or two, and the wide `Ａ` is an `A`."""
    names = ("Cat", "a", "cat", "cat ", "caf\u00e9", "cafe\u0301", "\uff21", "dog")
    spec = TargetSpec("label", "class", names, (1, 5, 9, 2, 3, 4, 1, 1))

    found = [[names[number] for number in group] for group in lookalikes(spec)]

    assert found == [["cat", "cat ", "Cat"], ["a", "\uff21"], ["cafe\u0301", "caf\u00e9"]]


@pytest.mark.parametrize(
    ("reader", "cells"),
    [
        (ClassTarget("label"), ["cat", "dog", "cat", "Cat", "dog", "Cat"]),
        (MultilabelTarget("label"), ["cat|dog", "dog", "cat", "dog|Cat", "cat", "Cat"]),
        (
            BoxesTarget("label"),
            [json.dumps([[name, 0, 0, 1, 1]]) for name in ("cat", "dog", "cat", "Cat", "dog", "Cat")],
        ),
    ],
    ids=["class", "multilabel", "boxes"],
)
def test_rows_of_the_rarer_name_are_told(reader: TargetReader, cells: list[str]):
    """The fourth row trains, the sixth is tested on."""
    rows = [({"text": "a"}, cell) for cell in cells]
    source = MemorySource(
        {"train": rows[:5], "test": rows[5:]}, kinds={"text": "text"}, target="label", split_origin=""
    )

    learned, notes = fit_targets(source, {"label": reader}, skip=False)

    assert learned["label"].classes == ("Cat", "cat", "dog")
    (note,) = [note for note in notes if "Cat" in note and "no row of" not in note]
    assert note == (
        "2 rows have 'Cat' in `label`, a class of its own beside 'cat': built-in row train-0003, built-in row test-0000"
    )

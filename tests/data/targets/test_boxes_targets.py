"""Boxes are read from JSON; one that cannot be is refused with its numbers."""

import pytest

from mmtrain.data.targets.boxes import BoxesTarget
from mmtrain.target import TargetSpec

CELL = '[["cat", 0, 0.25, 0.5, 1], ["dog", 0.5, 0.5, 0.75, 0.75], ["cat", 0, 0, 1, 1]]'


def test_boxes_become_rows_of_class_and_corners():
    """Classes are counted in boxes, and the fullest picture has three."""
    reader = BoxesTarget("boxes")

    assert reader.fit([CELL, "[]"]) == TargetSpec("boxes", "boxes", ("cat", "dog"), (2, 1), length=3)
    assert reader.encode(CELL).ragged[0].tolist()[:2] == [[0, 0, 0.25, 0.5, 1], [1, 0.5, 0.5, 0.75, 0.75]]
    assert reader.encode("[]").ragged[0].shape == (0, 5)
    assert reader.absent().mask.tolist() == [False]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("cat.txt", "is no JSON"),
        ('{"cat": []}', "is no list"),
        ('[["cat", 0, 0, 1]]', "is not .*label"),
        ("[[3, 0, 0, 1, 1]]", "is not .*label"),
        ('[["cat", 0, 0, "1", 1]]', "corners that are no numbers"),
        ('[["cat", 0, 0, true, 1]]', "corners that are no numbers"),
        ('[["cat", 0, 0, 1.5, 1]]', r"box \[0, 0, 1\.5, 1\] reaches beyond the picture"),
        ('[["cat", -0.1, 0, 1, 1]]', "reaches beyond the picture"),
        ('[["cat", 0.5, 0, 0.25, 1]]', "is turned round"),
        ('[["cat", 0.5, 0, 0.5, 1]]', "has no area"),
        ('[["cat", 0, 0, NaN, 1]]', "is not finite"),
        (f'[["cat", 0, 0, 1{"0" * 400}, 1]]', "is not finite"),
    ],
)
def test_what_is_no_box_is_refused(cell: str, message: str):
    with pytest.raises(ValueError, match=message):
        BoxesTarget("boxes").check(cell)


def test_an_unknown_class_names_the_nearest():
    reader = BoxesTarget("boxes")
    reader.fit([CELL])

    with pytest.raises(ValueError, match=r"no training row has a box of class 'cats' of `boxes`\. Did you mean `cat`"):
        reader.encode('[["cats", 0, 0, 1, 1]]')

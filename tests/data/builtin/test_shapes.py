"""Built-in shapes: the same at every call, boxes inside the picture, no scene in two splits."""

from __future__ import annotations

import io
import re

import numpy as np
from PIL import Image

from mmtrain.data.builtin.shapes import COLOURS, KINDS, SIDE, shapes
from mmtrain.data.targets.boxes import read_frames

SOURCE = shapes(train_rows=30, val_rows=10, test_rows=10)


def named(row: int) -> list[str]:
    """Colour and kind of each shape of a sentence, from left to right."""
    return re.findall(f"(?:{'|'.join(COLOURS)}) (?:{'|'.join(KINDS)})", str(SOURCE.cell(row, "text")))


def test_it_is_the_same_at_every_call_and_differs_with_the_seed() -> None:
    same, other = (
        shapes(train_rows=30, val_rows=10, test_rows=10),
        shapes(train_rows=30, val_rows=10, test_rows=10, seed=1),
    )

    assert same.fingerprint() == SOURCE.fingerprint() != other.fingerprint()


def test_no_scene_comes_twice() -> None:
    scenes = [" ".join(named(row)) for row in range(50)]

    assert len(set(scenes)) == 50


def test_sentence_boxes_and_picture_agree() -> None:
    """Boxes stand in the order of the sentence, and the middle of each full shape has its colour."""
    for row in range(50):
        _, (boxes,) = read_frames(str(SOURCE.target(row, "boxes")))
        picture = np.asarray(Image.open(io.BytesIO(SOURCE.cell(row, "image"))), dtype=float)  # type: ignore[arg-type]
        assert [box[0] for box in boxes] == [name.split()[1] for name in named(row)]
        for box, name in zip(boxes[-1:], named(row)[-1:], strict=True):  # drawn last, so nothing covers it
            if box[0] != "ring":
                x, y = (box[1] + box[3]) / 2 * SIDE, (box[2] + box[4]) / 2 * SIDE
                found = picture[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].mean(axis=(0, 1))
                assert np.abs(found - np.array(COLOURS[name.split()[0]])).max() < 45

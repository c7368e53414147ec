"""Built-in pictures of coloured shapes with a box around each, and a sentence that says what is where.

Two to four shapes of a kind, colour and size each lie on a noisy ground of any brightness; they may overlap a little.
Sentences name the shapes from left to right, in one of several ways. What a box holds is its kind, so that colour and
place say nothing of it. No two pictures of any split hold the same kinds and colours from left to right, so that a
sentence belongs to one picture only.
"""

from __future__ import annotations

import io
import json
from typing import Annotated, NamedTuple

import numpy as np

from mmtrain.contracts import Range
from mmtrain.data.memory import MemorySource, Row, draw_splits

SIDE = 64  # pixels
KINDS = ("circle", "cross", "ring", "square", "triangle")
COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (50, 80, 230),
    "yellow": (235, 200, 40),
    "purple": (150, 60, 190),
    "white": (245, 245, 245),
}
_OVERLAP = 0.15  # the most of a smaller shape's box that another may cover
_WAYS = (
    ("a {}", " and "),
    ("there is a {}", ", then a "),
    ("from left to right a {}", ", a "),
    ("i see a {}", " beside a "),
)


class _Shape(NamedTuple):
    kind: str
    colour: str
    left: float  # pixels, as the next three
    top: float
    right: float
    bottom: float


def shapes(
    *,
    train_rows: Annotated[int, Range(1, 20_000)] = 1500,
    val_rows: Annotated[int, Range(1, 20_000)] = 200,
    test_rows: Annotated[int, Range(1, 20_000)] = 400,
    seed: Annotated[int, Range(0)] = 0,
) -> MemorySource:
    """Pictures as PNG files of `SIDE` pixels, their sentences, and the target `boxes`.

    Args:
        train_rows: Pictures to learn from.
        val_rows: Pictures to choose the best checkpoint by.
        test_rows: Pictures to judge by.
        seed: Decides everything that is drawn.
    """
    seen: set[str] = set()

    def draw(_: str, random: np.random.RandomState) -> Row | None:
        scene = _scene(random)
        named = " ".join(f"{shape.colour} {shape.kind}" for shape in scene)
        if named in seen:
            return None
        seen.add(named)
        boxes = json.dumps([_box(shape) for shape in scene])
        return {"image": _picture(scene, random), "text": _sentence(scene, random)}, boxes

    splits = draw_splits("shapes", seed, {"train": train_rows, "val": val_rows, "test": test_rows}, draw)
    return MemorySource(
        splits,
        kinds={"image": "image", "text": "text"},
        target="boxes",
        split_origin="built in; no row of shapes and colours in two splits",
    )


def _scene(random: np.random.RandomState) -> list[_Shape]:
    """Shapes from left to right by their middles."""
    placed: list[_Shape] = []
    wanted = random.randint(2, 5)
    while len(placed) < wanted:
        side = random.uniform(11, 24)
        left, top = random.uniform(0, SIDE - side, 2)
        kind, colour = KINDS[random.randint(len(KINDS))], list(COLOURS)[random.randint(len(COLOURS))]
        shape = _Shape(kind, colour, left, top, left + side, top + side)
        if all(_covered(shape, other) <= _OVERLAP for other in placed):
            placed.append(shape)
    return sorted(placed, key=lambda shape: shape.left + shape.right)


def _covered(one: _Shape, other: _Shape) -> float:
    """The share of the smaller box that the other one covers."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    smaller = min(one.right - one.left, other.right - other.left)
    return max(0.0, width) * max(0.0, height) / smaller**2


def _box(shape: _Shape) -> list[str | float]:
    corners = (shape.left, shape.top, shape.right, shape.bottom)
    return [shape.kind, *(round(corner / SIDE, 4) for corner in corners)]


def _sentence(scene: list[_Shape], random: np.random.RandomState) -> str:
    start, between = _WAYS[random.randint(len(_WAYS))]
    return start.format(between.join(f"{shape.colour} {shape.kind}" for shape in scene))


def _picture(scene: list[_Shape], random: np.random.RandomState) -> bytes:
    """Drawn at four times the size and made smaller, so that edges are smooth; noise comes last."""
    from PIL import Image, ImageDraw

    grey = int(random.randint(20, 130))
    image = Image.new("RGB", (4 * SIDE, 4 * SIDE), (grey, grey, grey))
    draw = ImageDraw.Draw(image)
    for shape in scene:
        left, top, right, bottom = (4 * corner for corner in shape[2:])
        colour, third = COLOURS[shape.colour], (right - left) / 3
        match shape.kind:
            case "circle":
                draw.ellipse((left, top, right, bottom), colour)
            case "ring":
                draw.ellipse((left, top, right, bottom), None, colour, round(third / 1.5))
            case "square":
                draw.rectangle((left, top, right, bottom), colour)
            case "cross":
                draw.rectangle((left + third, top, right - third, bottom), colour)
                draw.rectangle((left, top + third, right, bottom - third), colour)
            case _:
                draw.polygon([((left + right) / 2, top), (right, bottom), (left, bottom)], colour)
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)  # [H,W,3]
    noisy = np.clip(small + random.normal(0, 12, small.shape), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noisy).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()

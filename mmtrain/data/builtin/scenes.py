"""Built-in scenes: two coloured shapes in two of nine places, with what can be said and measured of them.

A sentence says what is where; tags name the shapes and their colours; numbers are those that the picture was drawn
with, so that nothing but its pixels bounds how well they can be told. Sizes, shades, the ground and where in its place
a shape stands vary. A fifth of all combinations of colour, shape and place is held out: no training picture shows one,
and every test picture does, so that a test sentence is right only where colour, shape and place are told apart from one
another. Every colour is seen in every shape, as is every other pair, in training.
"""

from __future__ import annotations

import io
import math
from itertools import product
from typing import Annotated, Literal, NamedTuple

import numpy as np

from mmtrain.contracts import Range
from mmtrain.data.memory import MemorySource, Row, draw_splits

SIZE = 32  # pixels
COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (50, 80, 230),
    "yellow": (230, 210, 50),
    "purple": (150, 50, 190),
    "white": (245, 245, 245),
}
SHAPES = ("circle", "square", "triangle", "cross")
PLACES = tuple(
    f"at the {row} {side}".strip() for row, side in product(("top", "middle", "bottom"), ("left", "", "right"))
)
_HELD_OUT = 5  # one in so many combinations
_AREAS = {"circle": math.pi, "square": 1.7**2, "triangle": 1.8, "cross": 2.04}  # in squares of half a shape's width

Thing = tuple[str, str, int]  # colour, shape and number of its place
Column = Literal["caption", "tags", "area", "distance"]


class Figure(NamedTuple):
    """A thing as it is drawn; lengths in pixels."""

    shape: str
    shade: tuple[int, ...]
    x: float  # of its middle
    y: float
    half: float  # of its width


class Scene(NamedTuple):
    """All that a picture shows."""

    ground: tuple[int, ...]
    figures: list[Figure]


def scenes(
    *,
    target: Column | list[Column] = "caption",
    train_rows: Annotated[int, Range(1, 100_000)] = 3000,
    val_rows: Annotated[int, Range(1, 100_000)] = 200,
    test_rows: Annotated[int, Range(1, 100_000)] = 500,
    seed: Annotated[int, Range(0)] = 0,
) -> MemorySource:
    """PNG pictures (32x32, colour), and what is to be told of them.

    Args:
        target: What is told, or a list of it: `caption`, the sentence; `tags`, such as `red circle|blue cross`; `area`,
            the share of the picture that the shapes cover, in percent; `distance`, between their middles, in pixels.
        train_rows: Pictures to learn from.
        val_rows: Pictures to choose the best checkpoint by, of combinations seen in training.
        test_rows: Pictures to judge by, each with a combination that is held out.
        seed: Decides everything that is drawn.
    """

    def draw(split: str, random: np.random.RandomState) -> Row | None:
        things = drawn(random)
        if any(map(held_out, things)) != (split == "test"):
            return None
        scene = laid_out(things, random)
        return {"image": picture(scene)}, told(things, scene, target)

    counts = {"train": train_rows, "val": val_rows, "test": test_rows}
    return MemorySource(
        draw_splits("scenes", seed, counts, draw),
        kinds={"image": "image"},
        target=target,
        split_origin="built in; a combination of colour, shape and place that train lacks in every test picture",
    )


def held_out(thing: Thing) -> bool:
    """Whether the combination is kept for the test: a fifth of all, and of each colour, shape and place some."""
    colour, shape, place = list(COLOURS).index(thing[0]), SHAPES.index(thing[1]), thing[2]
    return (colour + 2 * shape + place) % _HELD_OUT == 0


def drawn(random: np.random.RandomState) -> list[Thing]:
    """Two shapes in different places, in order of reading."""
    places = sorted(random.permutation(len(PLACES))[:2].tolist())
    colours, shapes = list(COLOURS), SHAPES
    return [(colours[random.randint(len(colours))], shapes[random.randint(len(shapes))], place) for place in places]


def sentence(things: list[Thing]) -> str:
    """`a red circle at the top left and a blue cross at the bottom`."""
    return " and ".join(f"a {colour} {shape} {PLACES[place]}" for colour, shape, place in things)


def told(things: list[Thing], scene: Scene, target: Column | list[Column]) -> str | tuple[str, ...]:
    """The cell of a column, or those of several."""
    if isinstance(target, list):
        return tuple(str(told(things, scene, one)) for one in target)
    match target:
        case "caption":
            return sentence(things)
        case "tags":
            return "|".join(dict.fromkeys(f"{colour} {shape}" for colour, shape, _ in things))
        case "area":
            return f"{100 * sum(_AREAS[one.shape] * one.half**2 for one in scene.figures) / SIZE**2:.2f}"
        case "distance":
            one, other = scene.figures
            return f"{math.hypot(one.x - other.x, one.y - other.y):.2f}"


def laid_out(things: list[Thing], random: np.random.RandomState) -> Scene:
    """The things on a dark ground, each of some size and shade somewhere in its place."""
    ground = tuple(random.randint(0, 60, 3).tolist())
    cell, figures = SIZE / 3, []
    for colour, shape, place in things:
        half = cell * random.uniform(0.32, 0.45)
        x, y = ((at + 0.5) * cell + random.uniform(-0.05, 0.05) * cell for at in (place % 3, place // 3))
        shade = np.clip(np.array(COLOURS[colour]) + random.randint(-20, 21, 3), 0, 255)
        figures.append(Figure(shape, tuple(shade.tolist()), x, y, half))
    return Scene(ground, figures)


def picture(scene: Scene) -> bytes:
    """A PNG file of the scene."""
    from PIL import Image, ImageDraw

    scale = 4  # drawn larger and reduced, which smooths the edges
    image = Image.new("RGB", (SIZE * scale, SIZE * scale), scene.ground)
    draw = ImageDraw.Draw(image)
    for shape, shade, *lengths in scene.figures:
        x, y, half = (length * scale for length in lengths)
        if shape == "circle":
            draw.ellipse((x - half, y - half, x + half, y + half), shade)
        elif shape == "square":
            draw.rectangle((x - half * 0.85, y - half * 0.85, x + half * 0.85, y + half * 0.85), shade)
        elif shape == "triangle":
            draw.polygon([(x, y - half), (x - half, y + half * 0.8), (x + half, y + half * 0.8)], shade)
        else:
            draw.rectangle((x - half, y - half * 0.3, x + half, y + half * 0.3), shade)
            draw.rectangle((x - half * 0.3, y - half, x + half * 0.3, y + half), shade)
    buffer = io.BytesIO()
    image.resize((SIZE, SIZE), Image.Resampling.BOX).save(buffer, "PNG")
    return buffer.getvalue()

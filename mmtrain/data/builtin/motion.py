"""Built-in videos of moving digits: which way one goes, or a box around each of two in every frame.

Digits are those of scikit-learn (UCI "Optical Recognition of Handwritten Digits", 8x8 pixels), enlarged; each split has
digits of its own. They move evenly over noisy ground, and edges throw them back. The frames of a `direction` are also
those of the opposite one in another order: without it at most half of the rows can be told. For `boxes` two digits pass
behind bars and are blurred now and then; how much of both there is makes three fixed levels, and boxes are given for
what is hidden too.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmtrain.contracts import Range
from mmtrain.data.memory import MemorySource
from mmtrain.seeding import key

SIDE = 48  # pixels
FRAMES = 8
DIGITS = (0, 1, 2, 4, 7)  # those that boxes are around
DIRECTIONS = {"up": (0, -1), "down": (0, 1), "left": (-1, 0), "right": (1, 0)}
_PARTS = {"train": (0.0, 0.6), "val": (0.6, 0.7), "test": (0.7, 1.0)}  # which part of each digit's pictures

Frame = NDArray[np.float64]


class Level(NamedTuple):
    """How hard a video is to see."""

    bars: int  # each hides a quarter of the picture
    blurred: float  # the share of frames that are blurred


LEVELS = {"clear": Level(0, 0.0), "some": Level(1, 0.25), "much": Level(2, 0.5)}
"""Fixed; a third of the rows of train, val and test are of each, and `test_<level>` are rows of one level only."""


def motion(
    *,
    target: Literal["direction", "boxes"] = "direction",
    train_rows: Annotated[int, Range(1, 20_000)] = 400,
    val_rows: Annotated[int, Range(1, 20_000)] = 90,
    test_rows: Annotated[int, Range(1, 20_000)] = 180,
    seed: Annotated[int, Range(0)] = 0,
) -> MemorySource:
    """Videos as GIF files of `FRAMES` frames of `SIDE` pixels, and the target.

    Args:
        target: `direction`, one of four; or `boxes`, of each frame, with the digit as the class.
        train_rows: Videos to learn from.
        val_rows: Videos to choose the best checkpoint by.
        test_rows: Videos to judge by; of `boxes` also those of each further split `test_<level>`.
        seed: Decides everything that is drawn.
    """
    counts = {"train": train_rows, "val": val_rows, "test": test_rows}
    if target == "boxes":
        counts |= {f"test_{level}": test_rows for level in LEVELS}
    splits = {}
    for split, count in counts.items():
        random = np.random.RandomState(key(seed, "motion", target, split) % 2**32)  # the same in every NumPy
        part, _, only = split.partition("_")
        levels = list(LEVELS.values())
        make = _directed if target == "direction" else _boxed
        splits[split] = [
            make(number, part, LEVELS[only] if only else levels[number % len(levels)], random)
            for number in range(count)
        ]
    return MemorySource(
        splits, kinds={"video": "video"}, target=target, split_origin="built in; no digit's picture in two splits"
    )


def _directed(number: int, part: str, level: Level, random: np.random.RandomState) -> tuple[dict[str, bytes], str]:
    """One digit, any of ten, on its way; the four directions come equally often, and the level is not used."""
    name = list(DIRECTIONS)[number % len(DIRECTIONS)]
    digit = _drawn(random.randint(10), part, 16, random)
    speed = random.uniform(1.2, 3.0)
    # The middle of the way is drawn without regard to the direction: both ways leave the same frames behind.
    room = SIDE - 16 - speed * (FRAMES - 1)
    along, across = random.uniform(0, room) + speed * (FRAMES - 1) / 2, random.uniform(0, SIDE - 16)
    frames = []
    for frame in range(FRAMES):
        picture = _ground(random)
        moved = along + (frame - (FRAMES - 1) / 2) * speed * sum(DIRECTIONS[name])
        x, y = (moved, across) if DIRECTIONS[name][0] else (across, moved)
        _put(picture, digit, x, y)
        frames.append(_noisy(picture, random))
    return {"video": _gif(frames)}, name


def _boxed(number: int, part: str, level: Level, random: np.random.RandomState) -> tuple[dict[str, bytes], str]:
    """Two digits of different kinds, bars of the level, some frames blurred."""
    from scipy.ndimage import gaussian_filter

    ground = _ground(random)
    kinds = random.choice(DIGITS, 2, replace=False)
    sides = random.randint(12, 19, 2)
    digits = [_drawn(int(kind), part, int(side), random) for kind, side in zip(kinds, sides, strict=True)]
    paths = [_path(int(side), random) for side in sides]
    bars = [(bool(random.randint(2)), float(random.uniform(0, SIDE * 0.75))) for _ in range(level.bars)]
    shades = random.uniform(60, 150, level.bars)
    frames, boxes = [], []
    for frame in range(FRAMES):
        picture = ground.copy()
        found: list[list[str | float]] = []
        for kind, side, digit, path in zip(kinds, sides, digits, paths, strict=True):
            x, y = path[frame]
            _put(picture, digit, x, y)
            found.append([str(kind), *(round(float(v) / SIDE, 4) for v in (x, y, x + side, y + side))])
        for (upright, start), shade in zip(bars, shades, strict=True):
            span = slice(round(start), round(start + SIDE / 4))
            picture[(slice(None), span) if upright else (span, slice(None))] = shade
        if random.uniform() < level.blurred:
            picture = gaussian_filter(picture, 1.6)
        frames.append(_noisy(picture, random))
        boxes.append(found)
    return {"video": _gif(frames)}, json.dumps(boxes)


def _path(side: int, random: np.random.RandomState) -> list[tuple[float, float]]:
    """Upper left corners of a digit in each frame, thrown back by the edges."""
    room = SIDE - side
    start, angle, speed = random.uniform(0, room, 2), random.uniform(0, 2 * np.pi), random.uniform(1.5, 3.5)
    ways = [start[axis] + speed * np.arange(FRAMES) * turn for axis, turn in enumerate((np.cos(angle), np.sin(angle)))]
    x, y = (room - np.abs(way % (2 * room) - room) for way in ways)
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _drawn(digit: int, part: str, side: int, random: np.random.RandomState) -> Frame:
    """A picture of the digit with values in 0..1, [side,side]."""
    from PIL import Image

    first, last = _PARTS[part]
    pool = _pictures()[digit]
    pool = pool[round(first * len(pool)) : round(last * len(pool))]
    image = Image.fromarray(pool[random.randint(len(pool))].astype(np.float32))
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC), dtype=np.float64).clip(0, 16) / 16


@cache
def _pictures() -> dict[int, Sequence[Frame]]:
    """All pictures of each digit, [8,8] of 0..16."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return {digit: digits.images[digits.target == digit] for digit in range(10)}


def _ground(random: np.random.RandomState) -> Frame:
    """An even grey, [H,W]."""
    return np.full((SIDE, SIDE), random.uniform(10, 90))


def _put(picture: Frame, digit: Frame, x: float, y: float) -> None:
    """Lays a digit over the picture, between pixels where it stands between them."""
    from scipy.ndimage import shift

    left, top = int(np.floor(x)), int(np.floor(y))
    moved = shift(np.pad(digit, (0, 1)), (y - top, x - left), order=1)  # [side+1,side+1]
    window = picture[top : top + len(moved), left : left + len(moved)]
    cover = moved[: window.shape[0], : window.shape[1]]
    window += cover * (235 - window)


def _noisy(picture: Frame, random: np.random.RandomState) -> NDArray[np.uint8]:
    return (picture + random.normal(0, 8, picture.shape)).clip(0, 255).astype(np.uint8)


def _gif(frames: list[NDArray[np.uint8]]) -> bytes:
    from PIL import Image

    images = [Image.fromarray(frame) for frame in frames]
    buffer = io.BytesIO()
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:], duration=100, optimize=False)
    return buffer.getvalue()

"""Built-in motion: the same at every call, boxes where the digits are, digits that move as they should."""

from __future__ import annotations

from collections import Counter

import torch

from mmtrain.data.builtin.motion import DIGITS, FRAMES, LEVELS, SIDE, motion
from mmtrain.data.readers.video import VideoReader
from mmtrain.data.targets.boxes import read_frames
from tests.components import read

READER = VideoReader("video", num_frames=FRAMES, size=SIDE, channels=1, mean=0, std=1)


def test_it_is_the_same_at_every_call_and_differs_with_the_seed() -> None:
    same, again, other = (
        motion(target="boxes", train_rows=3, val_rows=3, test_rows=3, seed=seed) for seed in (0, 0, 1)
    )

    assert same.fingerprint() == again.fingerprint() != other.fingerprint()
    assert list(same.splits) == ["train", "val", "test", *(f"test_{level}" for level in LEVELS)]


def test_the_digit_moves_as_its_direction_says() -> None:
    """The brightest place of the last frame against that of the first; every frame is read once."""
    source = motion(train_rows=8, val_rows=4, test_rows=4)
    assert Counter(source.target(row, "direction") for row in range(16)) == dict.fromkeys(
        ("up", "down", "left", "right"), 4
    )
    grid = torch.stack(torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")).float()  # y, x
    for row in range(16):
        video = read(READER, source.cell(row, "video"))  # type: ignore[arg-type]  # [F,1,H,W]
        bright = (video - video.amin(dim=(2, 3), keepdim=True) > 0.4).float()
        middles = (grid * bright).sum(dim=(2, 3)) / bright.sum(dim=(2, 3))  # [F,2]
        y, x = (middles[-1] - middles[0]).tolist()
        assert len(video) == FRAMES
        found = ("down" if y > 0 else "up") if abs(y) > abs(x) else ("right" if x > 0 else "left")
        assert found == source.target(row, "direction")


def test_clear_boxes_are_around_what_is_bright() -> None:
    """Of a clear video, all bright pixels lie in the two boxes, and each box holds some."""
    source = motion(target="boxes", train_rows=3, val_rows=3, test_rows=3)
    for row in source.splits["test_clear"]:
        video = read(READER, source.cell(row, "video"))  # type: ignore[arg-type]
        number, frames = read_frames(str(source.target(row, "boxes")))
        assert (number, {len(boxes) for boxes in frames}) == (FRAMES, {2})
        for picture, boxes in zip(video[:, 0], frames, strict=True):
            bright = picture > 0.75
            for label, left, top, right, bottom in boxes:
                assert int(label) in DIGITS
                area = (slice(int(top * SIDE), int(bottom * SIDE) + 2), slice(int(left * SIDE), int(right * SIDE) + 2))
                assert bool((picture[area] > 0.6).any())
                bright[area] = False
            assert not bool(bright.any())

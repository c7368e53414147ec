"""Targets that are boxes in a picture: where something is, and what."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import torch

from mmtrain.data.targets.cells import LONGEST, read_json, shown
from mmtrain.suggest import did_you_mean
from mmtrain.target import Target, TargetSpec

Box = tuple[str, float, float, float, float]


class BoxesTarget:
    """Any number of boxes a row; the cell is a JSON list of `[label, left, top, right, bottom]`.

    The four numbers are shares of the picture's width and height, from 0 at its left and upper edge to 1. `[]` says
    that the picture shows nothing; a blank cell, that nobody has looked. Labels are strings, compared exactly.

    Of a video, the cell is a list of such lists, one a frame; all rows have the same number of frames.

    Args:
        name: Name of the target column.
    """

    kind = "boxes"
    remarks: Sequence[str] = ()

    def __init__(self, name: str) -> None:
        self.name = name
        self._ids: dict[str, int] = {}
        self._frames = 0

    def check(self, value: str) -> None:
        """Whether the cell holds boxes.

        Raises:
            ValueError: It is no such list, or a box is empty, turned round or beyond the picture.
        """
        read_frames(value)

    def fit(self, values: Iterable[str]) -> TargetSpec:
        """Learns the number of frames that most rows have; of these rows the classes, how often each occurs, and the
        most boxes of a row.

        Raises:
            ValueError: No row has a box.
        """
        read = [read_frames(value) for value in values]
        numbers = Counter(number for number, _ in read)
        common = max(numbers, key=lambda number: numbers[number], default=0)  # `encode` refuses the others, row by row
        rows = [frames for number, frames in read if number == common]
        counts = Counter(label for frames in rows for boxes in frames for label, *_ in boxes)
        if not counts:
            raise ValueError(f"`{self.name}` has no box in the training rows")
        classes = tuple(sorted(counts))
        spec = TargetSpec(
            self.name,
            self.kind,
            classes,
            tuple(counts[name] for name in classes),
            length=max(sum(map(len, frames)) for frames in rows),
            frames=common,
        )
        self.restore(spec)
        return spec

    def restore(self, spec: TargetSpec) -> None:
        """Takes the classes of `spec`."""
        self._ids = {label: number for number, label in enumerate(spec.classes)}
        self._frames = spec.frames

    def encode(self, value: str, key: int | None = None) -> Target:
        """The boxes, [n,5] float32: class, left, top, right, bottom; of a video [n,6], with the frame.

        Raises:
            ValueError: The cell cannot be read, a label is in no training row, or the number of frames is another one.
        """
        number, frames = read_frames(value)
        if number != self._frames:
            said, told = (f"{count} frames" if count else "a picture" for count in (number, self._frames))
            raise ValueError(f"boxes of {said}; those of most training rows are of {told}")
        rows = []
        for frame, boxes in enumerate(frames):
            for label, *corners in boxes:
                if label not in self._ids:
                    hint = did_you_mean(label[:80], self._ids)
                    raise ValueError(f"no training row has a box of class {shown(label)} of `{self.name}`.{hint}")
                rows.append([float(self._ids[label]), *corners, float(frame)][: 6 if number else 5])
        return Target(
            [torch.tensor(rows, dtype=torch.float32).reshape(len(rows), 6 if number else 5)], torch.tensor([True])
        )

    def absent(self) -> Target:
        """No box, under the mask."""
        return Target([torch.zeros(0, 5)], torch.tensor([False]))


def read_frames(value: str) -> tuple[int, list[list[Box]]]:
    """The number of frames of a cell, 0 where it is of a picture, and the boxes of each frame, or of the picture.

    Raises:
        ValueError: It is no JSON list of [label, left, top, right, bottom], or of such lists, or `require_box` refuses
            one.
    """
    content = read_json(value)
    if not isinstance(content, list):
        raise ValueError(f'{shown(value)} is no list; expected [["label", left, top, right, bottom], ...]')
    if len(content) > 1 and all(
        isinstance(frame, list) and all(isinstance(box, list) for box in frame) for frame in content
    ):
        return len(content), [list(map(_box, frame)) for frame in content]
    return 0, [list(map(_box, content))]


def _box(entry: object) -> Box:
    if not (isinstance(entry, list) and len(entry) == 5 and isinstance(entry[0], str) and entry[0].strip()):
        raise ValueError(f'box {str(entry)[:LONGEST]} is not ["label", left, top, right, bottom]')
    numbers = [float(n) for n in entry[1:] if isinstance(n, int | float) and not isinstance(n, bool)]
    if len(numbers) != 4:
        raise ValueError(f"box {str(entry)[:LONGEST]} has corners that are no numbers")
    left, top, right, bottom = numbers
    require_box(left, top, right, bottom)
    return entry[0], left, top, right, bottom


def require_box(left: float, top: float, right: float, bottom: float) -> None:
    """Raises a ValueError for a box that is not finite, reaches beyond the picture, is turned round or empty."""
    box = f"box [{left:g}, {top:g}, {right:g}, {bottom:g}]"
    if not all(map(math.isfinite, (left, top, right, bottom))):
        raise ValueError(f"{box} is not finite")
    if min(left, top, right, bottom) < 0 or max(left, top, right, bottom) > 1:
        raise ValueError(f"{box} reaches beyond the picture, which is 0 to 1 in shares of its width and height")
    if right < left or bottom < top:
        raise ValueError(f"{box} is turned round: expected left < right and top < bottom")
    if right == left or bottom == top:
        raise ValueError(f"{box} has no area")

"""What is to be learned of a row, and the facts about it. Letters in shapes are those of `mmtrain.contracts`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Target(NamedTuple):
    """One target of a batch.

    Values by kind: class [B] int64; multilabel [B,K] float32, 1 where the row has the tag; number [B] float32, less the
    mean and divided by the deviation of the training rows; text, for each row the ids of its tokens, [T] int64; boxes,
    for each row [n,5] float32: class, left, top, right, bottom, the last four in 0..1 of the picture; of a video [n,6],
    with the number of the frame.
    """

    values: Tensor | list[Tensor]  # a list where rows differ in size: one tensor a row, of length 0 under the mask
    mask: Tensor  # [B]: False where the row has no such target
    references: Sequence[tuple[str, ...]] = ()  # text: for each row all its texts exactly as written; else empty

    @property
    def tensor(self) -> Tensor:
        """The values of a kind whose rows are of one size."""
        assert not isinstance(self.values, list), "the rows of this target differ in size"
        return self.values

    @property
    def ragged(self) -> list[Tensor]:
        """The values of a kind whose rows differ in size."""
        assert isinstance(self.values, list), "the rows of this target are of one size"
        return self.values

    def each(self, change: Callable[[Tensor], Tensor]) -> Target:
        """With every tensor changed: moved to a device, for one."""
        values = [change(row) for row in self.values] if isinstance(self.values, list) else change(self.values)
        return Target(values, change(self.mask), self.references)


@dataclass(frozen=True)
class TargetSpec:
    """Facts about one target, learned from the training rows.

    Args:
        name: The target's name: its column.
        kind: `class`, `multilabel`, `number`, `text` or `boxes`.
        classes: Class, multilabel, boxes: the classes or tags in order.
        counts: How often each class occurs: in so many rows, or, of boxes, so many times.
        rows: Training rows that have the target.
        mean: Number: the mean, by which values are centred.
        deviation: Number: the standard deviation, by which they are divided.
        tokenizer: Text: `characters`, `words` or `bpe`, or a pretrained one as JSON of the `tokenizers` library; see
            `mmtrain.tokenizer`.
        vocabulary: Text: the tokens, index = id; empty where the tokenizer is pretrained.
        merges: Text by `bpe`: the pairs that are joined, in order, each as "left right".
        length: Text: the most tokens of a text; boxes: the most boxes of a row.
        frames: Boxes of videos: the frames of each; 0: of pictures.
    """

    name: str
    kind: str
    classes: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    rows: int = 0
    mean: float = 0.0
    deviation: float = 1.0
    tokenizer: str = ""
    vocabulary: tuple[str, ...] = ()
    merges: tuple[str, ...] = ()
    length: int = 0
    frames: int = 0

    def summary(self) -> str:
        """For people: `label, 3 classes: a, b, c`."""
        if self.classes:
            more = ", ..." if len(self.classes) > 8 else ""
            return f"{self.name}, {len(self.classes):,} classes: {', '.join(self.classes[:8])}{more}"
        if self.kind == "number":
            return f"{self.name}, a number: mean {self.mean:.4g}, deviation {self.deviation:.4g}"
        return f"{self.name}, {self.kind}" + (f" of {len(self.vocabulary):,} tokens" if self.vocabulary else "")

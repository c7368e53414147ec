"""Target readers: what a target column becomes, one class a kind, found by `target_reader`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from mmtrain.data.targets.boxes import BoxesTarget
from mmtrain.data.targets.classes import ClassTarget, MultilabelTarget
from mmtrain.data.targets.number import NumberTarget
from mmtrain.data.targets.text import TextTarget
from mmtrain.target import Target, TargetSpec


class TargetReader(Protocol):
    """Turns the cells of one target column into tensors; made as `target_reader(kind, name, **options)`.

    Attributes:
        kind: As in TargetSpec.
        remarks: What a person should know of what `fit` has learned.
    """

    kind: str
    remarks: Sequence[str]

    def check(self, value: str) -> None:
        """Whether a cell is written as the kind wants it, whatever the training rows hold.

        Raises:
            ValueError: It is not; the message says what was found, without naming the row.
        """

    def fit(self, values: Iterable[str]) -> TargetSpec:
        """Learns the classes, or whatever the kind has, from the cells of the training rows that `check` has passed.

        Raises:
            ValueError: There is nothing to learn from them.
        """

    def restore(self, spec: TargetSpec) -> None:
        """Takes a spec learned earlier in place of `fit`."""

    def encode(self, value: str, key: int | None = None) -> Target:
        """One cell, as a target of one row.

        Args:
            value: The cell exactly as written.
            key: Draws one where a cell holds several that would do; None: the first.

        Raises:
            ValueError: `check` refuses it, or it holds what the training rows do not have.
        """

    def absent(self) -> Target:
        """A row without the target: one False in the mask, a legal value under it."""


_KINDS: Mapping[str, Callable[..., TargetReader]] = {
    "class": ClassTarget,
    "multilabel": MultilabelTarget,
    "number": NumberTarget,
    "text": TextTarget,
    "boxes": BoxesTarget,
}


def target_reader(kind: str, name: str, **options: object) -> TargetReader:
    """A reader for the target `name`.

    Raises:
        ValueError: No such kind, or options that the kind refuses.
    """
    if kind not in _KINDS:
        raise ValueError(f"target `{name}` has kind '{kind}'; known kinds: {', '.join(_KINDS)}.")
    return _KINDS[kind](name, **options)

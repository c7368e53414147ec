"""What a Task, a Reader or an Augment may offer besides, for one verb or one part of the report.

What each must offer is in `mmtrain.protocols`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from mmtrain.contracts import Cell, Results, Rows

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


@runtime_checkable
class Comparing(Protocol):
    """What a Task may offer besides: vectors of several modalities in one space."""

    def vectors(self, results: Results) -> Mapping[str, np.ndarray]:
        """Unit vectors [N,E] of each modality; nan where a row lacks it."""


@runtime_checkable
class Locating(Protocol):
    """What a Task may offer besides: boxes in the pictures, or in the frames of the videos, of one modality.

    Attributes:
        anchor: The modality.
        target: The column of the true ones.
        classes: What a box can hold.
    """

    anchor: str
    target: str
    classes: tuple[str, ...]

    def boxes(self, results: Results) -> Sequence[Tensor]:
        """Of each row [n,7]: class, left, top, right, bottom in 0..1, score, frame."""


@runtime_checkable
class Joining(Protocol):
    """What a Task may offer besides: tasks inside it.

    Attributes:
        tasks: Each a Task, by name.
    """

    tasks: Mapping[str, Any]

    def of(self, name: str, results: Results) -> Results:
        """What belongs to one of them."""


@runtime_checkable
class Asking(Protocol):
    """What a Task may offer besides: classes by name, which may be others than those of the training rows."""

    def ask(self, head: nn.Module, names: Sequence[str]) -> None:
        """Makes these the classes of the task and of its head.

        Raises:
            ValueError: It cannot look for them.
        """


@runtime_checkable
class Curved(Protocol):
    """What a Task may offer besides: curves for the report."""

    def curves(self, results: Results) -> Mapping[str, Sequence[tuple[float, float]]]:
        """The points of each curve by a title that names both axes, y first."""


@runtime_checkable
class Clipping(Protocol):
    """What a Reader may offer besides: outside of training, a sample is several clips of equal length in a row.

    It is then `Varying` too: training takes one of them.

    Attributes:
        clips: How many; 1: a sample is what it is.
    """

    clips: int


@runtime_checkable
class Pooling(Protocol):
    """What a Task may offer besides: one answer from what it says of several clips of a row."""

    def pooled(self, clips: Sequence[Rows]) -> Rows:
        """What `collect` gave of each clip, N rows each -> N rows of the same form."""


@runtime_checkable
class Paced(Protocol):
    """What a Reader may offer besides: how fast the frames that it takes follow one another."""

    def pace(self, cell: Cell) -> float | None:
        """Frames a second of what `decode` gives; None where the cell does not tell."""


@runtime_checkable
class Moving(Protocol):
    """What an Augment may offer besides: where the boxes of a picture are once it is changed."""

    def moved(self, boxes: Tensor, key: int) -> Tensor:
        """Boxes [n,5 or 6] of class, left, top, right, bottom in 0..1, and frame; those left outside are gone.

        Raises:
            ValueError: It changes pictures in a way that boxes cannot follow; raised whatever the boxes are.
        """

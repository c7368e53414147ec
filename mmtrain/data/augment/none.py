"""No augmentation: training sees each sample as evaluation does."""

from __future__ import annotations

from torch import Tensor

from mmtrain.contracts import SignalSpec


class NoAugment:
    """Leaves every sample as it is."""

    def __init__(self, spec: SignalSpec) -> None:
        """Takes any modality."""

    def __call__(self, values: Tensor, key: int) -> Tensor:
        """The values themselves."""
        return values

    def moved(self, boxes: Tensor, key: int) -> Tensor:
        """The boxes themselves."""
        return boxes

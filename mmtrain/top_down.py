"""The way back of a feature pyramid: maps at ever coarser scales joined from the coarsest to the finest one wanted.

After Lin et al. 2016, "Feature Pyramid Networks for Object Detection", https://arxiv.org/abs/1612.03144. Differs: only
the finest map is given out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn
from torch.nn import functional as F

from mmtrain.contracts import Signal


@runtime_checkable
class Scaled(Protocol):
    """What an Encoder of pictures may offer besides: what it sees at each of its scales."""

    def scales(self) -> list[tuple[int, int]]:
        """Pixels from place to place, and channels, of each of `maps`.

        Raises:
            ValueError: It has none.
        """

    def maps(self, signal: Signal) -> list[Tensor]:
        """Pictures [B,C,H,W] -> a map [B,channels,h,w] of each scale, the finest first; `scales` is asked before."""


class TopDown(nn.Module):
    """Each coarser map, brought to a common width, is enlarged and added to the next finer one; a 3x3 layer follows.

    Args:
        channels: Of the maps that it gets, the finest first.
        hidden_size: Of the map that it gives.
    """

    def __init__(self, channels: Sequence[int], hidden_size: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(count, hidden_size, 1) for count in channels)
        self.smooth = nn.Conv2d(hidden_size, hidden_size, 3, padding=1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps [B,channels,h,w], the finest first -> [B,hidden_size,h,w] of the finest."""
        joint: Tensor | None = None
        for lateral, seen in zip(reversed(self.laterals), reversed(maps), strict=True):
            own = lateral(seen)  # [B,hidden_size,h,w]
            joint = own if joint is None else own + F.interpolate(joint, size=own.shape[2:], mode="nearest")
        assert joint is not None, "there is one scale at least"
        smoothed: Tensor = self.smooth(joint)
        return smoothed

"""Video frame by frame with all tokens of each frame kept, and what neighbouring frames show brought in: for detection.

After Zhu et al. 2017, "Flow-Guided Feature Aggregation for Video Object Detection", https://arxiv.org/abs/1703.10025:
the features of a frame are strengthened by those of the frames near it. Differs: no optical flow; in place of its
weights, learned 3x3x3 convolutions over time, rows and columns, added to what the frame alone shows. They start
near 0, so that training starts from the detector of single frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

import torch
from torch import Tensor, nn

from mmtrain.contracts import Range, Signal, SignalSpec, Tokens
from mmtrain.layers import at_least_one, zeroed
from mmtrain.protocols import Encoder


class FrameGrids(nn.Module):
    """Turns a video into the grid of tokens of each frame, one frame after another.

    Args:
        spec: A modality of videos.
        frame: The encoder of one picture; it must give a grid of tokens.
        num_layers: Convolutions over time; each lets a frame see one more on either side. 0: each frame by itself.

    Raises:
        ValueError: The modality holds something else.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        frame: Callable[[SignalSpec], Encoder],
        num_layers: Annotated[int, Range(0, 16)] = 3,
    ) -> None:
        super().__init__()
        if len(spec.shape) != 3 or spec.length < 2:
            raise ValueError(f"reads videos [F,C,H,W], but modality `{spec.name}` is {spec.kind} of shape {spec.shape}")
        self.frame = frame(replace(spec, length=1))
        self.width = self.frame.width
        self.length = spec.length
        self.layers = nn.ModuleList(OverFrames(self.width) for _ in range(num_layers))

    def forward(self, signal: Signal) -> Tokens:
        """Videos [B,F,C,H,W] -> [B,spec.length*h*w,width], a shorter video padded; seconds are nan."""
        values, kept = zeroed(signal), at_least_one(signal.mask)  # [B,F]
        pictures = values[kept] if self.training else values.flatten(0, 1)  # statistics of real frames alone
        real = torch.ones(len(pictures), 1, dtype=torch.bool, device=values.device)
        seen = self.frame(Signal(pictures, real))  # [N,L,D]
        if seen.positions is None:
            raise ValueError(
                "the encoder of a frame gives tokens without a place; choose one of a grid, such as pyramid"
            )
        rows, frames, count = *kept.shape, seen.values.shape[1]
        grids = seen.values.new_zeros(rows, self.length, count, self.width)
        if self.training:
            grids[:, :frames][kept] = seen.values
        else:
            grids[:, :frames] = seen.values.view(rows, frames, count, -1)
        mask = nn.functional.pad(signal.mask, (0, self.length - frames))  # [B,length]
        places = seen.positions[0]  # [L,3]
        columns = int((places[:, 1] == places[0, 1]).sum())
        maps = grids.view(rows, self.length, -1, columns, self.width).permute(0, 4, 1, 2, 3)  # [B,D,F,h,w]
        shown = mask.view(rows, 1, -1, 1, 1)
        maps = torch.where(shown, maps, 0)
        for layer in self.layers:
            maps = torch.where(shown, maps + layer(maps), 0)  # zero again before the next one reads it
        return Tokens(
            maps.permute(0, 2, 3, 4, 1).flatten(1, 3),
            mask.repeat_interleave(count, dim=1),
            places.repeat(self.length, 1).expand(rows, -1, -1),
        )


class OverFrames(nn.Module):
    """What a 3x3x3 neighbourhood adds to each place: normalised, convolved, ReLU, near 0 at the start."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.convolution = nn.Conv3d(width, width, 3, padding=1)
        self.last = nn.Conv3d(width, width, 1)
        nn.init.normal_(self.last.weight, std=1e-3)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps [B,D,F,h,w] -> the same shape."""
        normed = self.norm(maps.movedim(1, -1)).movedim(-1, 1)
        added: Tensor = self.last(self.convolution(normed).relu())
        return added

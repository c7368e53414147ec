"""Feature pyramid: pictures as a fine grid of tokens, each of which has also seen the whole: what detection reads.

After Lin et al. 2016, "Feature Pyramid Networks for Object Detection", https://arxiv.org/abs/1612.03144: maps of a
convolutional network at ever coarser scales, then back down, each added to the next finer one. Differs: a small network
of two 3x3 convolutions a scale, and only the finest map of the way back is given out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from torch import Tensor, nn

from mmtrain.contracts import Range, Signal, SignalSpec, Tokens
from mmtrain.layers import grid, picture_shape, zeroed
from mmtrain.top_down import TopDown


class Pyramid(nn.Module):
    """Turns a picture into a grid of tokens, one for every `stride` x `stride` pixels.

    Args:
        spec: A picture modality.
        channels: Channels of each scale; the first halves the picture, each further one halves that again.
        stride: Pixels between tokens: 2, 4, 8, ... and at most the stride of the last scale.
        hidden_size: D of the tokens.

    Raises:
        ValueError: The modality holds no pictures, or `stride` is of no scale.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        channels: Sequence[Annotated[int, Range(1)]] = (16, 32, 64, 96),
        stride: Annotated[int, Range(2)] = 4,
        hidden_size: Annotated[int, Range(1)] = 64,
    ) -> None:
        super().__init__()
        strides = [2 ** (scale + 1) for scale in range(len(channels))]
        if stride not in strides:
            raise ValueError(
                f"`stride` (={stride}) must be one of {', '.join(map(str, strides)) or 'a list of channels'}"
            )
        inputs, _, _ = picture_shape(spec)
        self.scales = nn.ModuleList(_scale(*pair) for pair in pairwise([inputs, *channels]))
        self.finest = strides.index(stride)
        self.down = TopDown(channels[self.finest :], hidden_size)
        self.width = hidden_size

    def forward(self, signal: Signal) -> Tokens:
        """Pictures [B,C,H,W] -> [B,h*w,hidden_size], h and w as many as `stride` goes into H and W, rounded up."""
        maps: Tensor = zeroed(signal)
        seen: list[Tensor] = []
        for scale in self.scales:
            maps = scale(maps)  # [B,channels,H/2,W/2]
            seen.append(maps)
        return grid(self.down(seen[self.finest :]), signal.mask)


def _scale(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )

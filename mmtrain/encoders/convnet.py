"""Small convolutional network for pictures: the default, quick on a CPU, one token a cell of a coarse grid.

Stages of 3x3 convolution, batch normalisation and ReLU with 2x2 max pooling between them, as in VGG (Simonyan and
Zisserman 2014, https://arxiv.org/abs/1409.1556). Differs: one convolution a stage, no dense layers, and the stride of
the first stage follows the size of the pictures, so that 16x16 keeps its detail and 224x224 stays affordable.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from torch import Tensor, nn

from mmtrain.contracts import Range, Signal, SignalSpec, Tokens
from mmtrain.layers import grid, picture_shape, require_stages, zeroed


class ConvNet(nn.Module):
    """Turns a picture into a grid of tokens.

    The first stage has stride 1 for pictures up to 32 pixels, 2 up to 64, 4 up to 128 and so on; the pooling before
    each further stage halves the size: with four stages 16x16 gives 2x2 tokens, 28x28 and 64x64 give 4x4.

    Args:
        spec: A picture modality.
        channels: Channels of each stage; the last are D of the tokens.

    Raises:
        ValueError: The modality holds no pictures, or `channels` is empty or not positive.
    """

    def __init__(self, spec: SignalSpec, *, channels: Sequence[Annotated[int, Range(1)]] = (16, 32, 64, 128)) -> None:
        super().__init__()
        require_stages(channels, [16, 32, 64, 128])
        inputs, height, width = picture_shape(spec)
        stride = 1
        while max(height, width) > 32 * stride:
            stride *= 2
        stages: list[nn.Module] = [_stage(inputs, channels[0], stride)]
        for inputs, outputs in pairwise(channels):
            # Strides in place of the pooling cost the same, and learn slower: .935 against .972 after two epochs of
            # 4,000 MNIST digits.
            stages += [nn.MaxPool2d(2, ceil_mode=True), _stage(inputs, outputs, 1)]
        self.stages = nn.Sequential(*stages)
        self.width = channels[-1]

    def forward(self, signal: Signal) -> Tokens:
        """Pictures [B,C,H,W] -> [B,h*w,width]."""
        maps: Tensor = self.stages(zeroed(signal))  # [B,width,h,w]
        return grid(maps, signal.mask)


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    kernel = max(3, 2 * stride - 1)  # wide enough to see every pixel it strides over
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )

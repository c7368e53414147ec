"""Feature pyramid over a published network, with its weights or random ones: for detection on little data.

After Lin et al. 2016, "Feature Pyramid Networks for Object Detection", https://arxiv.org/abs/1612.03144. Differs: only
the finest map of the way back is given out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, cast

from torch import nn

from mmtrain.contracts import Range, Signal, SignalSpec, Tokens
from mmtrain.layers import grid, picture_shape
from mmtrain.protocols import Encoder
from mmtrain.top_down import Scaled, TopDown


class BackbonePyramid(nn.Module):
    """Turns a picture into a grid of tokens, one for every `stride` x `stride` pixels.

    Args:
        spec: A picture modality.
        backbone: The encoder whose scales it joins.
        stride: Pixels between tokens, as those of one of the scales.
        hidden_size: D of the tokens.

    Raises:
        ValueError: The modality holds no pictures, the encoder does not give its scales, or none has that `stride`.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        backbone: Callable[[SignalSpec], Encoder],
        stride: Annotated[int, Range(1)] = 8,
        hidden_size: Annotated[int, Range(1)] = 64,
    ) -> None:
        super().__init__()
        picture_shape(spec)
        self.backbone = backbone(spec)
        if not isinstance(self.backbone, Scaled):
            name = type(self.backbone).__name__
            raise ValueError(f"`backbone`: {name} does not give its scales; choose torchvision")
        strides, channels = zip(*self.backbone.scales(), strict=True)
        if stride not in strides:
            raise ValueError(f"`stride` (={stride}) must be one of {', '.join(map(str, strides))}")
        self.finest = strides.index(stride)
        self.down = TopDown(channels[self.finest :], hidden_size)
        self.width = hidden_size

    def forward(self, signal: Signal) -> Tokens:
        """Pictures [B,C,H,W] -> [B,h*w,hidden_size]."""
        return grid(self.down(cast(Scaled, self.backbone).maps(signal)[self.finest :]), signal.mask)

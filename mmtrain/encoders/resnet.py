"""ResNet-18: residual network for pictures, one token a cell of its last feature map.

After He et al. 2015, "Deep Residual Learning for Image Recognition", https://arxiv.org/abs/1512.03385, built by
torchvision. Differs: the average pooling and the classifier of 1000 classes are left out, grey pictures are read as
RGB, and a small stem keeps the detail of pictures below about 64 pixels.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from torch import Tensor, nn

from mmtrain.contracts import Signal, SignalSpec, Tokens
from mmtrain.layers import grid, picture_shape, zeroed
from mmtrain.weights import load_weights, locate


class ResNet18(nn.Module):
    """Turns a picture into a grid of tokens of width 512.

    Args:
        spec: A picture modality with 1 or 3 channels.
        weights: "IMAGENET1K_V1" (torchvision's, downloaded once), a `.pth` or `.safetensors` state dict, or None for
            random ones. The pictures should be normalised as they were when the weights were made.
        stem: "standard": 7x7 convolution of stride 2 and max pooling, tokens of 32 pixels. "small": 3x3 convolution
            of stride 1 without pooling, tokens of 8 pixels, as is usual for CIFAR.

    Raises:
        ValueError: The modality holds no such pictures, or the weights cannot be had or do not fit.
    """

    width = 512

    def __init__(
        self, spec: SignalSpec, *, weights: str | None = None, stem: Literal["standard", "small"] = "standard"
    ) -> None:
        super().__init__()
        from torchvision.models import ResNet18_Weights, resnet18

        channels, _, _ = picture_shape(spec)
        if channels not in (1, 3):
            raise ValueError(f"reads pictures of 1 or 3 channels, but modality `{spec.name}` has {channels}")
        network = resnet18()
        if stem == "small":
            network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
            network.maxpool = nn.Identity()
        del network.avgpool, network.fc
        self.network = nn.Sequential(OrderedDict(network.named_children()))  # named as in torchvision's state dicts
        if weights is not None:
            published = {entry.name: entry.url for entry in ResNet18_Weights}
            path = locate(weights, published, f"encoder.{spec.name}.weights")
            load_weights(self.network, path, ignore=("fc.weight", "fc.bias"))

    def forward(self, signal: Signal) -> Tokens:
        """Pictures [B,C,H,W] -> [B,h*w,512]."""
        maps: Tensor = self.network(zeroed(signal).expand(-1, 3, -1, -1))  # [B,512,h,w]
        return grid(maps, signal.mask)

"""Networks that see space and time at once, built by torchvision: r3d_18, mc3_18, s3d, swin3d_t; one token a video.

Each without its classifier: what it would read, pooled over space and time, is the token. Differs: grey videos are read
as RGB, and a network never sees padding: it gets a fixed number of frames, into which the real frames of each sample
are spread evenly, so that of a shorter one some are seen more than once. mvit_v2_s is not among them: it takes frames
of 224 x 224 pixels only, and its classifier one token, which the last block's relative positions and pooled queries
never reach, so that four of its tensors would have no gradient.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmtrain.contracts import Signal, SignalSpec, Tokens
from mmtrain.layers import lengths, zeroed
from mmtrain.weights import load_weights, locate


class _Facts(NamedTuple):
    classifier: str  # the attribute that is left out
    width: int  # of what the classifier reads
    side: int = 1  # the least height and width, pixels
    frames: int = 2  # the least number of frames


_NETWORKS = {
    "r3d_18": _Facts("fc", 512),
    "mc3_18": _Facts("fc", 512),
    "s3d": _Facts("classifier", 1024, side=32, frames=8),
    "swin3d_t": _Facts("head", 768),
}


class VideoNetwork(nn.Module):
    """Turns a video into one token.

    Args:
        spec: A modality of videos with 1 or 3 channels.
        architecture: One of torchvision's names above.
        weights: The name of one of torchvision's sets of weights (downloaded once), a `.pth` or `.safetensors` state
            dict, or None for random ones. The frames should be normalised as they were when the weights were made.

    Raises:
        ValueError: The modality holds no such videos, or the weights cannot be had or do not fit.
    """

    def __init__(self, spec: SignalSpec, architecture: str, weights: str | None) -> None:
        super().__init__()
        from torchvision.models import get_model, get_model_weights

        facts = _NETWORKS[architecture]
        if len(spec.shape) != 3 or spec.length < 2:
            raise ValueError(f"reads videos [F,C,H,W], but modality `{spec.name}` is {spec.kind} of shape {spec.shape}")
        channels, height, width = spec.shape
        if channels not in (1, 3):
            raise ValueError(f"reads videos of 1 or 3 channels, but modality `{spec.name}` has {channels}")
        if min(height, width) < facts.side:
            raise ValueError(
                f"{architecture} reads frames of {facts.side} x {facts.side} pixels at least, but those of "
                f"`{spec.name}` are {height} x {width}; set `reader.{spec.name}.size`"
            )
        self.width = facts.width
        self.frames = max(spec.length, facts.frames)
        self.network = get_model(architecture)
        ignore = [name for name in self.network.state_dict() if name.startswith(f"{facts.classifier}.")]
        setattr(self.network, facts.classifier, nn.Identity())
        if architecture == "s3d":
            self.network.avgpool = nn.AdaptiveAvgPool3d(1)  # its own wants 7 x 7 cells, as of 224 pixels
        if weights is not None:
            published = {entry.name: entry.value.url for entry in get_model_weights(architecture)}
            path = locate(weights, published, f"encoder.{spec.name}.weights")
            load_weights(self.network, path, ignore=ignore)

    def forward(self, signal: Signal) -> Tokens:
        """Videos [B,F,C,H,W] -> [B,1,width]."""
        values = zeroed(signal)
        count = lengths(signal.mask).unsqueeze(1)  # [B,1]
        index = torch.arange(self.frames, device=values.device) * count // self.frames  # [B,frames], of real ones
        rows = torch.arange(len(values), device=values.device).unsqueeze(1)
        clips = values[rows, index].expand(-1, -1, 3, -1, -1).transpose(1, 2)  # [B,3,frames,H,W]
        pooled: Tensor = self.network(clips)
        return Tokens(pooled.unsqueeze(1), signal.mask.any(dim=1, keepdim=True))


def r3d_18(spec: SignalSpec, *, weights: str | None = None) -> VideoNetwork:
    """ResNet-18 with 3-D convolutions, Tran et al. 2017, https://arxiv.org/abs/1711.11248."""
    return VideoNetwork(spec, "r3d_18", weights)


def mc3_18(spec: SignalSpec, *, weights: str | None = None) -> VideoNetwork:
    """ResNet-18 with 3-D convolutions in its first stage only, Tran et al. 2017, https://arxiv.org/abs/1711.11248."""
    return VideoNetwork(spec, "mc3_18", weights)


def s3d(spec: SignalSpec, *, weights: str | None = None) -> VideoNetwork:
    """Inception with separated space and time, Xie et al. 2017, https://arxiv.org/abs/1712.04851."""
    return VideoNetwork(spec, "s3d", weights)


def swin3d_t(spec: SignalSpec, *, weights: str | None = None) -> VideoNetwork:
    """Video Swin Transformer, tiny, Liu et al. 2021, https://arxiv.org/abs/2106.13230."""
    return VideoNetwork(spec, "swin3d_t", weights)

"""Video frame by frame: an encoder of pictures sees each, and something reads what it saw in order; a token a frame.

The common baseline of video understanding: mean pooling as in Temporal Segment Networks (Wang et al. 2016,
https://arxiv.org/abs/1608.00859), recurrence as in Donahue et al. 2014 (https://arxiv.org/abs/1411.4389), or attention.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from mmtrain.contracts import Signal, SignalSpec, Tokens
from mmtrain.layers import at_least_one, masked_mean, zeroed
from mmtrain.protocols import Encoder
from mmtrain.temporal import OverTime


class Frames(nn.Module):
    """Reads a video, or several pictures as a sequence.

    Args:
        spec: A modality of videos or of several pictures.
        frame: The encoder of one picture; the mean of its tokens stands for the frame.
        time: What reads the frames in order, such as TimeGRU; None: each frame stays by itself.

    Raises:
        ValueError: The modality holds something else.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        frame: Callable[[SignalSpec], Encoder],
        time: Callable[[int], OverTime] | None = None,
    ) -> None:
        super().__init__()
        if len(spec.shape) != 3 or spec.length < 2:
            raise ValueError(f"reads videos [F,C,H,W], but modality `{spec.name}` is {spec.kind} of shape {spec.shape}")
        self.frame = frame(replace(spec, length=1))
        self.time = time(self.frame.width) if time else None
        self.width = self.time.width if self.time else self.frame.width

    def forward(self, signal: Signal) -> Tokens:
        """Videos [B,F,C,H,W] -> [B,F,width], or what `time` makes of it."""
        values, kept = zeroed(signal), at_least_one(signal.mask)  # [B,F]
        if self.training:
            seen = self._see(values[kept])  # [real frames,D]: batch statistics are those of real frames alone
            vectors = seen.new_zeros(*kept.shape, seen.shape[-1])
            vectors[kept] = seen
        else:
            vectors = self._see(values.flatten(0, 1)).view(*kept.shape, -1)  # [B,F,D]
        tokens = Tokens(torch.where(signal.mask.unsqueeze(-1), vectors, 0), signal.mask)
        return self.time(tokens) if self.time else tokens

    def _see(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures [N,C,H,W] -> [N,D]."""
        mask = torch.ones(len(pictures), 1, dtype=torch.bool, device=pictures.device)
        tokens = self.frame(Signal(pictures, mask))
        return masked_mean(tokens.values, tokens.mask)

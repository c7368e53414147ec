"""Convolutions over the samples of a sound, without a spectrogram: tokens over time.

After Dai et al. 2016, "Very Deep Convolutional Neural Networks for Raw Waveforms", https://arxiv.org/abs/1610.00087:
their M5, wide filters first, then narrow ones, each with batch normalisation, ReLU and pooling by 4. Differs: the last
pooling over all time is left to the fusion, the ends are filled so that any length works, and padding does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import nn
from torch.nn.functional import max_pool1d, pad

from mmtrain.contracts import Range, Signal, SignalSpec, Tokens
from mmtrain.layers import MaskedBatchNorm, at_least_one, require_stages, zeroed

_FIRST = 80  # samples that a filter of the first stage sees
_STRIDE = 4  # of the first stage, and of each pooling


class WaveformCNN(nn.Module):
    """Turns a sound into one token every `4 ** (stages + 1)` samples: 64 ms of 16 kHz with the defaults.

    Args:
        spec: A sound modality.
        channels: Channels of each stage; the last are D of the tokens.

    Raises:
        ValueError: The modality is no sound, or `channels` is empty or not positive.
    """

    def __init__(
        self, spec: SignalSpec, *, channels: Sequence[Annotated[int, Range(1)]] = (128, 128, 256, 512)
    ) -> None:
        super().__init__()
        if spec.sample_rate < 1 or spec.shape:
            raise ValueError(f"reads sound, but modality `{spec.name}` is {spec.kind} without a sample rate")
        require_stages(channels, [32, 64])
        self.sample_rate, self.width = spec.sample_rate, channels[-1]
        self.stages = nn.ModuleList(
            nn.Conv1d(inputs, outputs, 3 if number else _FIRST, stride=1 if number else _STRIDE, bias=False)
            for number, (inputs, outputs) in enumerate(zip([1, *channels], channels, strict=False))
        )
        self.norms = nn.ModuleList(MaskedBatchNorm(count) for count in channels)

    def forward(self, signal: Signal) -> Tokens:
        """Sound [B,T] -> [B,L,width]."""
        values, mask = zeroed(signal).unsqueeze(1), at_least_one(signal.mask)  # [B,1,T]
        values = pad(values, (_FIRST // 2, (_FIRST - 1) // 2))
        mask = mask[:, ::_STRIDE]
        for number, (convolution, norm) in enumerate(zip(self.stages, self.norms, strict=True)):
            values = convolution(pad(values, (1, 1)) if number else values)  # [B,C,L]
            values = norm(values.unsqueeze(3), mask).squeeze(3).relu()  # zeros in the padding, which no maximum takes
            values = max_pool1d(values, _STRIDE, ceil_mode=True)
            mask = mask[:, ::_STRIDE]
        seconds = torch.arange(values.shape[2], device=values.device) * _STRIDE ** (len(self.stages) + 1)
        seconds = seconds / self.sample_rate
        nan = torch.full_like(seconds, torch.nan)
        positions = torch.stack([seconds, nan, nan], dim=-1).expand(len(values), -1, -1)  # [B,L,3]
        return Tokens(values.transpose(1, 2), mask & signal.mask.any(dim=1, keepdim=True), positions)

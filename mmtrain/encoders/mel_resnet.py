"""Residual network over a log-mel spectrogram, tokens over time.

After He et al. 2015, https://arxiv.org/abs/1512.03385, whose blocks add their input to two convolutions, on log-mel
spectrograms as in Hershey et al. 2017, https://arxiv.org/abs/1609.09430. Differs: few and narrow stages, statistics
ignore padding, and the frequencies of the last map become features of its time step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from torch import Tensor, nn

from mmtrain.contracts import Range, Signal, SignalSpec, Tokens
from mmtrain.layers import MaskedBatchNorm, require_stages
from mmtrain.specaugment import SpecAugment
from mmtrain.spectrogram import LogMelSpectrogram


class MelResNet(nn.Module):
    """Turns a sound into one token every `2 ** stages` frames: 160 ms with the defaults.

    Args:
        spec: A sound modality.
        channels: Channels of each stage.
        num_blocks: Residual blocks of a stage; the first of each halves time and frequency.
        n_mels: Mel bands; None: a quarter of `n_fft`, at most 40.
        n_fft: Samples a window; None: about 25 ms.
        hop_length: Samples from one frame to the next; None: 10 ms.
        centre_bands: Take from each band its mean over the sound, so that microphone and voice count less.
        band_masks: Masks of SpecAugment over bands a sound; 0: none.
        band_share: Greatest share of the bands that one covers.
        time_masks: Masks of SpecAugment over time a sound; 0: none.
        time_share: Greatest share of the sound that one covers.

    Raises:
        ValueError: The modality is no sound, `n_mels` is too many for `n_fft`, or `channels` is empty or not positive.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        channels: Sequence[Annotated[int, Range(1)]] = (16, 32, 64, 128),
        num_blocks: Annotated[int, Range(1)] = 2,
        n_mels: Annotated[int, Range(1)] | None = None,
        n_fft: Annotated[int, Range(16)] | None = None,
        hop_length: Annotated[int, Range(1)] | None = None,
        centre_bands: bool = False,
        band_masks: Annotated[int, Range(0, 10)] = 0,
        band_share: Annotated[float, Range(0, 1)] = 0.25,
        time_masks: Annotated[int, Range(0, 10)] = 0,
        time_share: Annotated[float, Range(0, 1)] = 0.1,
    ) -> None:
        super().__init__()
        require_stages(channels, [16, 32, 64])
        self.mel = LogMelSpectrogram(spec, n_mels=n_mels, n_fft=n_fft, hop_length=hop_length, centre_bands=centre_bands)
        self.augment = SpecAugment(
            band_masks=band_masks, band_share=band_share, time_masks=time_masks, time_share=time_share
        )
        self.blocks, self.strides = nn.ModuleList(), []
        previous, bands = 1, self.mel.n_mels
        for count in channels:
            for number in range(num_blocks):
                self.strides.append(1 if number else 2)
                self.blocks.append(_Block(previous, count, self.strides[-1]))
                previous = count
            bands = -(-bands // 2)
        self.width = previous * bands
        self.stride = 2 ** len(channels)

    def forward(self, signal: Signal) -> Tokens:
        """Sound [B,T] -> [B,L,width]; width = last channels times the bands left."""
        levels, mask = self.mel(signal)  # [B,L,F], [B,L]
        maps = self.augment(levels, mask).unsqueeze(1)  # [B,1,L,F]
        for block, stride in zip(self.blocks, self.strides, strict=True):
            mask = mask[:, ::stride]
            maps = block(maps, mask)  # [B,C,L/stride,F/stride]
        values = maps.transpose(1, 2).flatten(2)  # [B,L,C*F]
        positions = self.mel.seconds(values.shape[1], self.stride, values).expand(len(values), -1, -1)
        return Tokens(values, mask & signal.mask.any(dim=1, keepdim=True), positions)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(MaskedBatchNorm(outputs) for _ in range(2))
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if (inputs, stride) != (outputs, 1) else None

    def forward(self, maps: Tensor, mask: Tensor) -> Tensor:
        """Maps [B,C,L,F], zero in the padding, and the mask after the stride -> maps that are again."""
        hidden = self.norms[0](self.first(maps), mask).relu()
        hidden = self.norms[1](self.second(hidden), mask)
        kept = maps if self.shortcut is None else self.shortcut(maps)  # reads one place: of padding, a zero
        added: Tensor = (hidden + kept).relu()
        return added

"""Mel spectrogram and two convolutions: the plain baseline for sound, tokens over time.

Power mel spectrogram, convolutions of 16 and 32 filters of 3x3, each with ReLU and 2x2 max pooling. The power is taken
as it is, without logarithm or normalisation, so loudness counts; `log_mel_cnn` is the one to prefer. Differs from the
usual tutorial: the map is not flattened over time, so any length works, and padding is never heard.
"""

from __future__ import annotations

from typing import Annotated

from torch import nn

from mmtrain.contracts import Range, Signal, SignalSpec, Tokens
from mmtrain.layers import zero_steps
from mmtrain.specaugment import SpecAugment
from mmtrain.spectrogram import MelSpectrogram


class MelCNN(nn.Module):
    """Turns a sound into one token every four frames, 40 ms by default.

    Args:
        spec: A sound modality.
        n_mels: Mel bands; None: a quarter of `n_fft`, at most 40.
        n_fft: Samples a window; None: about 25 ms.
        hop_length: Samples from one frame to the next; None: 10 ms.
        band_masks: Masks of SpecAugment over bands a sound; 0: none.
        band_share: Greatest share of the bands that one covers.
        time_masks: Masks of SpecAugment over time a sound; 0: none.
        time_share: Greatest share of the sound that one covers.

    Raises:
        ValueError: The modality is no sound, or `n_mels` is too many for `n_fft`.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        n_mels: Annotated[int, Range(1)] | None = None,
        n_fft: Annotated[int, Range(16)] | None = None,
        hop_length: Annotated[int, Range(1)] | None = None,
        band_masks: Annotated[int, Range(0, 10)] = 0,
        band_share: Annotated[float, Range(0, 1)] = 0.25,
        time_masks: Annotated[int, Range(0, 10)] = 0,
        time_share: Annotated[float, Range(0, 1)] = 0.1,
    ) -> None:
        super().__init__()
        self.mel = MelSpectrogram(spec, n_mels=n_mels, n_fft=n_fft, hop_length=hop_length)
        self.augment = SpecAugment(
            band_masks=band_masks, band_share=band_share, time_masks=time_masks, time_share=time_share
        )
        self.convolutions = nn.ModuleList([nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)])
        # Windows may cross the end of a sound: the zeros there never win against the output of a ReLU.
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.width = 32 * -(-self.mel.n_mels // 4)

    def forward(self, signal: Signal) -> Tokens:
        """Sound [B,T] -> [B,L,width]; width = 32 channels times a quarter of the bands."""
        power, mask = self.mel(signal)  # [B,L,F], [B,L]
        maps = self.augment(power, mask).unsqueeze(1)  # [B,1,L,F]
        for convolution in self.convolutions:
            maps = self.pool(zero_steps(convolution(maps).relu(), mask))  # [B,C,L/2,F/2]
            mask = mask[:, ::2]
        values = maps.transpose(1, 2).flatten(2)  # [B,L,C*F]
        positions = self.mel.seconds(values.shape[1], 4, values).expand(len(values), -1, -1)
        return Tokens(values, mask & signal.mask.any(dim=1, keepdim=True), positions)

"""Log-mel spectrogram and strided convolutions: the default for sound, quick on a CPU, tokens over time.

The front end is that of most networks for speech and sound events; log-mel energies are normalised over the real part
of each sound, which removes its loudness and keeps its spectrum. Stages of 3x3 convolution, batch normalisation and
ReLU as in VGGish (Hershey et al. 2017, https://arxiv.org/abs/1609.09430), with strides in place of pooling. Differs:
statistics ignore padding, and the frequencies of the last map become features of its time step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from torch import nn

from mmtrain.contracts import Range, Signal, SignalSpec, Tokens
from mmtrain.layers import MaskedBatchNorm, require_stages
from mmtrain.specaugment import SpecAugment
from mmtrain.spectrogram import LogMelSpectrogram


class LogMelCNN(nn.Module):
    """Turns a sound into one token every `2 ** stages` frames: 80 ms with the defaults.

    Args:
        spec: A sound modality.
        channels: Channels of each stage.
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
        channels: Sequence[Annotated[int, Range(1)]] = (16, 32, 64),
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
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        previous, bands = 1, self.mel.n_mels
        for count in channels:
            self.convolutions.append(nn.Conv2d(previous, count, 3, stride=2, padding=1, bias=False))
            self.norms.append(MaskedBatchNorm(count))
            previous, bands = count, -(-bands // 2)
        self.width = previous * bands

    def forward(self, signal: Signal) -> Tokens:
        """Sound [B,T] -> [B,L,width]; width = last channels times the bands left."""
        levels, mask = self.mel(signal)  # [B,L,F], [B,L]
        maps = self.augment(levels, mask).unsqueeze(1)  # [B,1,L,F]
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            mask = mask[:, ::2]  # centres of the windows; padding is zero again before the next one reads it
            maps = norm(convolution(maps), mask).relu()  # [B,C,L/2,F/2]
        values = maps.transpose(1, 2).flatten(2)  # [B,L,C*F]
        stride = 2 ** len(self.convolutions)
        positions = self.mel.seconds(values.shape[1], stride, values).expand(len(values), -1, -1)
        return Tokens(values, mask & signal.mask.any(dim=1, keepdim=True), positions)

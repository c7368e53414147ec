"""Log-mel spectrogram, convolutions and recurrent layers: sound as a fine grid of tokens over time, for transcripts.

After Deep Speech 2, Amodei et al. 2015, https://arxiv.org/abs/1512.02595: a few convolutions over time and frequency,
then bidirectional recurrent layers. Differs: log-mel energies in place of the power spectrum, GRUs, and padding is
neither convolved nor counted nor read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mmtrain.contracts import Range, Signal, SignalSpec, Tokens
from mmtrain.layers import MaskedBatchNorm, lengths, require_stages
from mmtrain.specaugment import SpecAugment
from mmtrain.spectrogram import LogMelSpectrogram


class ConvGRU(nn.Module):
    """Turns a sound into one token every `time_stride` frames, each having heard the whole: 20 ms with the defaults.

    Args:
        spec: A sound modality.
        channels: Channels of each convolution; each halves the frequencies.
        time_stride: Frames a token; the first convolutions halve the time, one for each factor of 2.
        hidden_size: Width of each direction's state; D of the tokens is twice that.
        num_layers: Stacked GRUs.
        dropout: Before each GRU.
        n_mels: Mel bands; None: a quarter of `n_fft`, at most 40.
        n_fft: Samples a window; None: about 25 ms.
        hop_length: Samples from one frame to the next; None: 10 ms.
        centre_bands: Take from each band its mean over the sound, so that microphone and voice count less.
        band_masks: Masks of SpecAugment over bands a sound; 0: none.
        band_share: Greatest share of the bands that one covers.
        time_masks: Masks of SpecAugment over time a sound; 0: none.
        time_share: Greatest share of the sound that one covers.

    Raises:
        ValueError: The modality is no sound, `n_mels` is too many for `n_fft`, `channels` is empty or not positive, or
            `time_stride` is no power of 2, or one that so few convolutions cannot make.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        channels: Sequence[Annotated[int, Range(1)]] = (16, 32),
        time_stride: Annotated[int, Range(1, 64)] = 2,
        hidden_size: Annotated[int, Range(1)] = 64,
        num_layers: Annotated[int, Range(1)] = 2,
        dropout: Annotated[float, Range(0, 1)] = 0.0,
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
        require_stages(channels, [16, 32])
        halvings = time_stride.bit_length() - 1
        if time_stride != 1 << halvings or halvings > len(channels):
            legal = ", ".join(str(1 << number) for number in range(len(channels) + 1))
            raise ValueError(f"`time_stride` (={time_stride}) with {len(channels)} convolutions must be {legal}.")
        self.mel = LogMelSpectrogram(spec, n_mels=n_mels, n_fft=n_fft, hop_length=hop_length, centre_bands=centre_bands)
        self.augment = SpecAugment(
            band_masks=band_masks, band_share=band_share, time_masks=time_masks, time_share=time_share
        )
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        previous, bands = 1, self.mel.n_mels
        for number, count in enumerate(channels):
            stride = (2 if number < halvings else 1, 2)
            self.convolutions.append(nn.Conv2d(previous, count, 3, stride, padding=1, bias=False))
            self.norms.append(MaskedBatchNorm(count))
            previous, bands = count, -(-bands // 2)
        sizes = [previous * bands, *[2 * hidden_size] * (num_layers - 1)]
        self.grus = nn.ModuleList(nn.GRU(size, hidden_size, batch_first=True, bidirectional=True) for size in sizes)
        self.dropout = nn.Dropout(dropout)
        self.time_stride, self.halvings, self.width = time_stride, halvings, 2 * hidden_size

    def forward(self, signal: Signal) -> Tokens:
        """Sound [B,T] -> [B,L,2 hidden_size]; L = ceil(frames / time_stride)."""
        levels, mask = self.mel(signal)  # [B,L,F], [B,L]
        maps = self.augment(levels, mask).unsqueeze(1)  # [B,1,L,F]
        for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            if number < self.halvings:
                mask = mask[:, ::2]  # centres of the windows; padding is zero again before the next one reads it
            maps = norm(convolution(maps), mask).relu()  # [B,C,L,F/2]
        values = maps.transpose(1, 2).flatten(2)  # [B,L,C*F]
        packed = pack_padded_sequence(values, lengths(mask).cpu(), batch_first=True, enforce_sorted=False)
        for gru in self.grus:
            packed, _ = gru(packed._replace(data=self.dropout(packed.data)))
        values, _ = pad_packed_sequence(packed, batch_first=True, total_length=mask.shape[1])
        positions = self.mel.seconds(mask.shape[1], self.time_stride, values).expand(len(values), -1, -1)
        return Tokens(values, mask & signal.mask.any(dim=1, keepdim=True), positions)

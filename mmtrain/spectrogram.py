"""Mel spectrograms of padded sounds, for every encoder that starts from one.

The transform is torchaudio's MelSpectrogram. Ours adds defaults in milliseconds, so that they suit any sample rate,
and the mask of the frames: a frame of a padded sound equals that of the same sound alone.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from mmtrain.contracts import Signal, SignalSpec
from mmtrain.layers import lengths, zeroed

_FLOOR = 1e-6  # of the power: about the noise of 16 bits, so that digital silence is no abyss


class MelSpectrogram(nn.Module):
    """Power in mel bands over time; fixed, nothing in it is trained.

    Args:
        spec: A sound; its sample rate sets the defaults.
        n_mels: Bands. None: a quarter of `n_fft`, at most 40.
        n_fft: Samples a window. None: the power of two from 25 ms upwards, at least 16.
        hop_length: Samples from one frame to the next. None: 10 ms.

    Raises:
        ValueError: The modality is no sound, or a band is narrower than the resolution of the window.
    """

    def __init__(
        self, spec: SignalSpec, *, n_mels: int | None = None, n_fft: int | None = None, hop_length: int | None = None
    ) -> None:
        super().__init__()
        from torchaudio.transforms import MelSpectrogram as Transform

        if spec.sample_rate < 1 or spec.shape:
            raise ValueError(f"reads sound, but modality `{spec.name}` is {spec.kind} without a sample rate")
        self.sample_rate = spec.sample_rate
        self.hop_length = hop_length or max(1, spec.sample_rate // 100)
        n_fft = n_fft or max(16, 1 << (spec.sample_rate // 40 - 1).bit_length())
        self.n_mels = n_mels or min(40, n_fft // 4)
        with warnings.catch_warnings():  # torchaudio warns of empty bands and trains on; we refuse
            warnings.simplefilter("ignore", UserWarning)
            self.transform = Transform(
                spec.sample_rate, n_fft, hop_length=self.hop_length, n_mels=self.n_mels, pad_mode="constant"
            )
        empty = int((self.transform.mel_scale.fb.amax(dim=0) <= 0).sum())
        if empty:
            raise ValueError(
                f"`n_mels` (={self.n_mels}) leaves {empty} bands empty at `n_fft` (={n_fft}) and"
                f" {spec.sample_rate} Hz; lower `n_mels` or raise `n_fft`."
            )

    def forward(self, signal: Signal) -> tuple[Tensor, Tensor]:
        """Sound [B,T] -> power [B,L,n_mels] and mask [B,L]; L = T // hop_length + 1, at least one frame a row."""
        with torch.autocast(signal.values.device.type, enabled=False):  # the logarithm of bfloat16 is too coarse
            power: Tensor = self.transform(zeroed(signal).float())  # [B,n_mels,L]
        frames = lengths(signal.mask) // self.hop_length + 1  # [B]
        mask = torch.arange(power.shape[-1], device=power.device) < frames.unsqueeze(1)  # [B,L]
        return power.transpose(1, 2).masked_fill(~mask.unsqueeze(-1), 0), mask

    def seconds(self, frames: int, stride: int, like: Tensor) -> Tensor:
        """Where each `stride`-th frame stands in time: [1,frames,3] of seconds, NaN, NaN."""
        time = torch.arange(frames, device=like.device) * (stride * self.hop_length / self.sample_rate)
        nan = torch.full_like(time, torch.nan)
        return torch.stack([time, nan, nan], dim=-1).unsqueeze(0)


class LogMelSpectrogram(MelSpectrogram):
    """The same, as logarithms that no longer tell how loud a sound is; see `normalised_log`.

    Args:
        spec: As of `MelSpectrogram`.
        n_mels: As there.
        n_fft: As there.
        hop_length: As there.
        centre_bands: Take from each band its mean over the sound.
    """

    def __init__(
        self, spec: SignalSpec, *, n_mels: int | None, n_fft: int | None, hop_length: int | None, centre_bands: bool
    ) -> None:
        super().__init__(spec, n_mels=n_mels, n_fft=n_fft, hop_length=hop_length)
        self.centre_bands = centre_bands

    def forward(self, signal: Signal) -> tuple[Tensor, Tensor]:
        """Sound [B,T] -> logarithms [B,L,n_mels] and mask [B,L]."""
        power, mask = super().forward(signal)
        return normalised_log(power, mask, centre_bands=self.centre_bands), mask


def normalised_log(power: Tensor, mask: Tensor, *, centre_bands: bool = False) -> Tensor:
    """Logarithm of mel power, of mean 0 and variance 1 over the real frames and all bands of each row.

    It removes the loudness of a sound and keeps its spectrum: [B,L,F], [B,L] -> [B,L,F], 0 in padded frames. With
    `centre_bands` each band loses its own mean before: what a microphone or a voice adds to all frames, as cepstral
    mean normalisation takes away (Atal 1974, https://doi.org/10.1121/1.1914702).
    """
    values, keep = (power + _FLOOR).log(), mask.unsqueeze(-1)
    frames = mask.sum(dim=1).view(-1, 1, 1)
    if centre_bands:
        values = values - torch.where(keep, values, 0).sum(dim=1, keepdim=True) / frames
    count = frames * values.shape[2]
    mean = torch.where(keep, values, 0).sum(dim=(1, 2), keepdim=True) / count  # [B,1,1]
    centred = torch.where(keep, values - mean, 0)
    variance = centred.square().sum(dim=(1, 2), keepdim=True) / count
    return centred * (variance + 1e-5).rsqrt()

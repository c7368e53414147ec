"""The mel front end."""

from __future__ import annotations

import math

import pytest
import torch

from mmtrain.contracts import Signal, SignalSpec
from mmtrain.spectrogram import MelSpectrogram, normalised_log


def sound(rate: int) -> SignalSpec:
    return SignalSpec("audio", "audio", length=rate, sample_rate=rate)


@pytest.mark.parametrize(
    ("rate", "n_fft", "hop", "n_mels"),
    [(16000, 512, 160, 40), (8000, 256, 80, 40), (4000, 128, 40, 32), (44100, 2048, 441, 40), (200, 16, 2, 4)],
)
def test_defaults_follow_the_sample_rate(rate: int, n_fft: int, hop: int, n_mels: int):
    """Windows from 25 ms upwards, frames 10 ms apart, and no band is empty."""
    mel = MelSpectrogram(sound(rate))

    assert (mel.transform.n_fft, mel.hop_length, mel.n_mels) == (n_fft, hop, n_mels)
    assert (mel.transform.mel_scale.fb.amax(dim=0) > 0).all()


def test_a_tone_lies_in_the_band_of_its_frequency():
    """1 kHz is 1000 mel of 2146 up to 4 kHz: the 19th of 40 bands, by 2595 log10(1 + f / 700)."""
    tone = torch.sin(2 * math.pi * 1000 * torch.arange(8000) / 8000).unsqueeze(0)
    power, mask = MelSpectrogram(sound(8000))(Signal(tone, torch.ones(1, 8000, dtype=torch.bool)))

    assert power.shape == (1, 101, 40)
    assert mask.all()
    assert (power[0, 10:-10].argmax(dim=1) == 18).all()


def test_a_padded_sound_has_the_frames_it_has_alone():
    mel = MelSpectrogram(sound(8000))
    values = torch.randn(1, 1000, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(1000).unsqueeze(0) < 777
    alone, _ = mel(Signal(values[:, :777], mask[:, :777]))
    padded, real = mel(Signal(values, mask))

    assert real.sum() == alone.shape[1] == 777 // 80 + 1
    torch.testing.assert_close(padded[0, real[0]], alone[0])
    assert padded[0, ~real[0]].abs().max() == 0


def test_centred_bands_do_not_tell_one_microphone_from_another():
    """A microphone multiplies each band; without centring it stays in the spectrum. Padding is 0 either way."""
    generator = torch.Generator().manual_seed(0)
    power = torch.rand(2, 5, 4, generator=generator) + 0.5
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    microphone = torch.tensor([1.0, 10.0, 0.3, 2.0])

    centred = normalised_log(power, mask, centre_bands=True)
    torch.testing.assert_close(normalised_log(power * microphone, mask, centre_bands=True), centred, atol=1e-4, rtol=0)
    assert (normalised_log(power * microphone, mask) - normalised_log(power, mask)).abs().max() > 0.5
    assert centred.sum(dim=1).abs().max() < 1e-5
    assert centred[1, 3:].abs().max() == 0


def test_frames_stand_where_they_are_centred():
    """At 8 kHz every second frame, of 80 samples each, is 20 ms from the last."""
    positions = MelSpectrogram(sound(8000)).seconds(3, 2, torch.zeros(1))

    torch.testing.assert_close(positions[0, :, 0], torch.tensor([0.0, 0.02, 0.04]))
    assert positions[0, :, 1:].isnan().all()


def test_more_bands_than_the_window_resolves_are_refused():
    with pytest.raises(ValueError, match=r"`n_mels` \(=200\) leaves \d+ bands empty at `n_fft` \(=256\) and 8000 Hz"):
        MelSpectrogram(sound(8000), n_mels=200)

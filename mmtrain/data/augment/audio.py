"""Sounds: faster or slower, moved in time, louder or softer, with noise.

Another speed is another pitch too, so that one speaker sounds like several (Ko et al. 2015, "Audio augmentation for
speech recognition", https://doi.org/10.21437/Interspeech.2015-711). Differs: linear interpolation, and any speed in a
range where the paper has three.
Noise at a signal-to-noise ratio drawn in decibels: the noise is scaled to power(sound) / 10^(ratio / 10), as is common
in training for speech (e.g. Ko et al. 2017, https://doi.org/10.1109/ICASSP.2017.7953152). Ours is white.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from mmtrain import seeding
from mmtrain.contracts import Range, SignalSpec


class AudioAugment:
    """Changes a sound [T] float32.

    Args:
        spec: A modality of sounds.
        shift: Most seconds by which the sound is moved, earlier or later; silence fills the gap.
        gain: Most decibels by which it becomes louder or softer.
        noise: Probability of adding white noise.
        snr: Least and greatest ratio of sound to noise, in decibels.
        speed: Greatest relative change of speed, faster or slower; 0: none. A sound is cut where it becomes longer than
            the spec allows.

    Raises:
        ValueError: The modality has no sample rate, or `snr` is no range.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        shift: Annotated[float, Range(0, 60)] = 0.1,
        gain: Annotated[float, Range(0, 60)] = 6.0,
        noise: Annotated[float, Range(0, 1)] = 0.5,
        snr: tuple[Annotated[float, Range(-20, 100)], Annotated[float, Range(-20, 100)]] = (10.0, 30.0),
        speed: Annotated[float, Range(0, 0.5)] = 0.0,
    ) -> None:
        if spec.sample_rate < 1:
            raise ValueError(f"changes sound, but modality `{spec.name}` is {spec.kind} without a sample rate")
        if snr[0] > snr[1]:
            raise ValueError(f"`snr` (={list(snr)}) must be [least, greatest]; try {[snr[1], snr[0]]}")
        self.shift = round(shift * spec.sample_rate)  # samples
        self.gain, self.noise, self.snr = gain, noise, snr
        self.speed, self.longest = speed, spec.length

    def __call__(self, values: Tensor, key: int) -> Tensor:
        """Plays at another speed, then moves, scales and adds noise: [T] -> [T / speed], at most the spec's length."""
        if self.speed:
            draw = torch.rand((), generator=seeding.generator(key, "audio speed")).item()
            values = _played(values, 1 + (2 * draw - 1) * self.speed)[: self.longest]
        generator = seeding.generator(key, "audio")
        move, gain, chance, place = torch.rand(4, generator=generator).tolist()
        values = _moved(values, round((2 * move - 1) * min(self.shift, len(values) - 1)))
        values = values * 10 ** ((2 * gain - 1) * self.gain / 20)
        if chance < self.noise:
            ratio = self.snr[0] + place * (self.snr[1] - self.snr[0])
            noise = torch.randn(len(values), generator=generator)
            values = values + noise * (values.square().mean() / 10 ** (ratio / 10)).sqrt()
        return values


def _played(values: Tensor, speed: float) -> Tensor:
    """The sound so many times as fast, and as high: [T] -> [T / speed], at least one sample."""
    length = max(1, round(len(values) / speed))
    return F.interpolate(values.view(1, 1, -1), length, mode="linear", align_corners=True).view(-1)


def _moved(values: Tensor, steps: int) -> Tensor:
    """The sound later by so many samples, or earlier where they are negative; silence before or after it: [T]."""
    moved = torch.zeros_like(values)
    if steps >= 0:
        moved[steps:] = values[: len(values) - steps]
    else:
        moved[:steps] = values[-steps:]
    return moved

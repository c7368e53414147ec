"""Sounds: moved in time, louder or softer, with noise; the length stays.

Noise at a signal-to-noise ratio drawn in decibels: the noise is scaled to power(sound) / 10^(ratio / 10), as is common
in training for speech (e.g. Ko et al. 2017, https://doi.org/10.1109/ICASSP.2017.7953152). Ours is white.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

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
    ) -> None:
        if spec.sample_rate < 1:
            raise ValueError(f"changes sound, but modality `{spec.name}` is {spec.kind} without a sample rate")
        if snr[0] > snr[1]:
            raise ValueError(f"`snr` (={list(snr)}) must be [least, greatest]; try {[snr[1], snr[0]]}")
        self.shift = round(shift * spec.sample_rate)  # samples
        self.gain, self.noise, self.snr = gain, noise, snr

    def __call__(self, values: Tensor, key: int) -> Tensor:
        """Moves, then scales, then adds noise: [T] -> [T]."""
        generator = seeding.generator(key, "audio")
        move, gain, chance, place = torch.rand(4, generator=generator).tolist()
        values = _moved(values, round((2 * move - 1) * min(self.shift, len(values) - 1)))
        values = values * 10 ** ((2 * gain - 1) * self.gain / 20)
        if chance < self.noise:
            ratio = self.snr[0] + place * (self.snr[1] - self.snr[0])
            noise = torch.randn(len(values), generator=generator)
            values = values + noise * (values.square().mean() / 10 ** (ratio / 10)).sqrt()
        return values


def _moved(values: Tensor, steps: int) -> Tensor:
    """The sound later by so many samples, or earlier where they are negative; silence before or after it: [T]."""
    moved = torch.zeros_like(values)
    if steps >= 0:
        moved[steps:] = values[: len(values) - steps]
    else:
        moved[:steps] = values[-steps:]
    return moved

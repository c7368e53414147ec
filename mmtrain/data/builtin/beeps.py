"""Sounds of 1 to 6 beeps for the built-in data, in which only the number of beeps tells the number.

Clip length, total sounding time and energy are drawn independently of the count, so that neither loudness nor length
gives it away: more beeps are shorter beeps. Nor does the time from the first sound to the last, but for a single
beep. Pitch, position, length and loudness vary from clip to clip; the beeps of a clip share their pitch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmtrain.data.readers.sound import encode

SAMPLE_RATE = 2000
SECONDS = 1.0
_SHORTEST, _GAP, _RAMP = 0.03, 0.05, 0.004  # seconds: of a beep, between beeps, of its fade in and out


def beep_clip(count: int, random: np.random.RandomState) -> bytes:
    """A WAV file (16 bit, mono, `SAMPLE_RATE`) of `SECONDS` with `count` beeps in faint noise."""
    sounding = random.uniform(0.3, 0.4)
    lengths = _SHORTEST + _divide(sounding - count * _SHORTEST, count, random)
    span = random.uniform(0.66, 0.96) if count > 1 else sounding  # from the first to the last sound
    before, _ = _divide(SECONDS - span, 2, random)
    between = _GAP + _divide(span - sounding - (count - 1) * _GAP, count - 1, random)
    starts = before + np.concatenate([[0.0], np.cumsum(lengths[:-1] + between)])

    time = np.arange(int(SECONDS * SAMPLE_RATE)) / SAMPLE_RATE  # [T]
    clip, pitch = random.uniform(-0.01, 0.01, len(time)), random.uniform(200, 800)
    for start, length in zip(starts, lengths, strict=True):
        inside = slice(*np.searchsorted(time, (start, start + length)))
        since = time[inside] - start
        fade = np.clip(np.minimum(since, length - since) / _RAMP, 0, 1)
        clip[inside] += fade * np.sin(2 * np.pi * pitch * since)
    clip *= random.uniform(0.08, 0.2) / np.sqrt(np.mean(clip**2))  # energy by draw, whatever the count
    return encode(clip, SAMPLE_RATE)


def _divide(total: float, parts: int, random: np.random.RandomState) -> NDArray[np.float64]:
    """`parts` random non-negative lengths that sum to `total`."""
    if parts == 0:
        return np.empty(0)
    cuts = np.sort(random.uniform(0, total, parts - 1))
    return np.diff(cuts, prepend=0.0, append=total)

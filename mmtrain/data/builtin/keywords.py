"""Built-in voice commands: words of sung vowels by many speakers, other words, and silence.

A vowel is a harmonic tone with two formants (their frequencies after Peterson and Barney 1952, "Control Methods Used in
a Study of the Vowels", J. Acoust. Soc. Am. 24), a word two or three vowels. A speaker has a pitch, a length of the
vocal tract, which moves all formants together, and a tempo; nobody is heard in two splits. `unknown` is any other word
of as many vowels; `silence` is noise alone. Loudness, the moment and the noise vary from clip to clip.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmtrain.contracts import Range
from mmtrain.data.memory import MemorySource
from mmtrain.data.readers.sound import encode
from mmtrain.seeding import key

SAMPLE_RATE = 6000
SECONDS = 1.0
COMMANDS = ("ai", "ua", "io", "eu", "oae", "iau")
UNKNOWN, SILENCE = "unknown", "silence"
_FORMANTS = {"i": (270, 2290), "e": (530, 1840), "a": (730, 1090), "o": (570, 840), "u": (300, 870)}  # Hz
_WIDTHS = (90.0, 120.0)  # Hz, of the formants
_RAMP = 0.015  # seconds in which a vowel fades in and out


class _Speaker(NamedTuple):
    pitch: float  # Hz
    tract: float  # multiplies the formants
    tempo: float


def keywords(
    *,
    train_rows: Annotated[int, Range(1, 20_000)] = 960,
    val_rows: Annotated[int, Range(1, 20_000)] = 160,
    test_rows: Annotated[int, Range(1, 20_000)] = 320,
    train_speakers: Annotated[int, Range(1, 1000)] = 16,
    test_speakers: Annotated[int, Range(1, 1000)] = 8,
    seed: Annotated[int, Range(0)] = 0,
) -> MemorySource:
    """WAV files (16 bit, mono, `SAMPLE_RATE`) of `SECONDS`, and the target `label`; all classes come equally often.

    Args:
        train_rows: Clips to learn from.
        val_rows: Clips to choose the best checkpoint by.
        test_rows: Clips to judge by.
        train_speakers: Speakers who are heard in training.
        test_speakers: Speakers of val, and as many others of test.
        seed: Decides everything that is drawn.
    """
    classes = (*COMMANDS, UNKNOWN, SILENCE)
    splits = {}
    for split, count in (("train", train_rows), ("val", val_rows), ("test", test_rows)):
        random = np.random.RandomState(key(seed, "keywords", split) % 2**32)  # the same in every version of NumPy
        number = train_speakers if split == "train" else test_speakers
        speakers = [_Speaker(random.uniform(90, 250), *random.uniform(0.85, 1.2, 2)) for _ in range(number)]
        rows = []
        for row in range(count):
            label, speaker = classes[row % len(classes)], speakers[random.randint(number)]
            word = {UNKNOWN: _other(random), SILENCE: ""}.get(label, label)
            rows.append(({"audio": spoken(word, speaker, random)}, label))
        splits[split] = rows
    return MemorySource(
        splits, kinds={"audio": "audio"}, target="label", split_origin="built in; no speaker in two splits"
    )


def _other(random: np.random.RandomState) -> str:
    """A word of two or three different vowels that is no command."""
    while True:
        word = "".join(random.permutation(list(_FORMANTS))[: random.randint(2, 4)])
        if word not in COMMANDS:
            return word


def spoken(word: str, speaker: _Speaker, random: np.random.RandomState) -> bytes:
    """The sound of a word, as a WAV file; of an empty one noise alone."""
    clip = random.normal(0, random.uniform(0.002, 0.02), int(SAMPLE_RATE * SECONDS))
    if word:
        lengths = random.uniform(0.13, 0.22, len(word)) / speaker.tempo
        at, loudness = random.uniform(0.02, SECONDS - lengths.sum() - 0.02), random.uniform(0.05, 0.3)
        for vowel, seconds in zip(word, lengths, strict=True):
            sound = loudness * _sung(vowel, seconds, speaker, random)
            start = int(at * SAMPLE_RATE)
            clip[start : start + len(sound)] += sound
            at += seconds
    return encode(clip, SAMPLE_RATE)


def _sung(vowel: str, seconds: float, speaker: _Speaker, random: np.random.RandomState) -> NDArray[np.float64]:
    """A vowel of root mean square 1 before it fades in and out, [T]."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE  # [T]
    pitch = speaker.pitch * random.uniform(0.92, 1.08)
    harmonics = pitch * np.arange(1, int(0.48 * SAMPLE_RATE / pitch) + 1)  # [H]
    strength = np.zeros(len(harmonics))
    for formant, width, share in zip(_FORMANTS[vowel], _WIDTHS, (1.0, 0.6), strict=True):
        middle = formant * speaker.tract * random.uniform(0.97, 1.03)
        strength += share / (1 + ((harmonics - middle) / width) ** 2)
    phases = random.uniform(0, 2 * np.pi, len(harmonics))
    sound = strength @ np.sin(2 * np.pi * harmonics[:, None] * time + phases[:, None])  # [T]
    fade = np.clip(np.minimum(time, seconds - time) / _RAMP, 0, 1)
    return np.asarray(sound / np.sqrt(np.mean(sound**2)) * fade)

"""Built-in speech: words of a whistled language with eight letters, and what was whistled.

A letter is a tone of its own pitch, a word one to three letters with short gaps between them, an utterance two to four
words with longer pauses. Voice (all pitches together, by a few per cent), tempo, loudness and noise vary from one
utterance to the next. Words are drawn letter by letter, and no utterance of a split occurs in another: what was
whistled can be heard, and not guessed.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np

from mmtrain.contracts import Range
from mmtrain.data.memory import MemorySource, Row, draw_splits
from mmtrain.data.readers.sound import encode

SAMPLE_RATE = 4000
LETTERS = "aeioukst"
_LOWEST, _STEP = 260.0, 1.3  # Hz of the first letter; from one letter's pitch to the next
_RAMP = 0.005  # seconds in which a tone fades in and out


def speech(
    *,
    train_rows: Annotated[int, Range(1, 100_000)] = 1600,
    val_rows: Annotated[int, Range(1, 100_000)] = 200,
    test_rows: Annotated[int, Range(1, 100_000)] = 400,
    seed: Annotated[int, Range(0)] = 0,
) -> MemorySource:
    """Utterances as WAV files (16 bit, mono, `SAMPLE_RATE`, at most 3 s), and their transcripts as the target `text`.

    Args:
        train_rows: Utterances to learn from.
        val_rows: Utterances to choose the best checkpoint by.
        test_rows: Utterances to judge by.
        seed: Decides everything that is drawn.
    """
    said: set[str] = set()

    def draw(_: str, random: np.random.RandomState) -> Row | None:
        text = utterance(random)
        if text in said:
            return None
        said.add(text)
        return {"audio": whistled(text, random)}, text

    splits = draw_splits("speech", seed, {"train": train_rows, "val": val_rows, "test": test_rows}, draw)
    return MemorySource(
        splits, kinds={"audio": "audio"}, target="text", split_origin="built in; no utterance in two splits"
    )


def utterance(random: np.random.RandomState) -> str:
    """Two to four words of one to three letters, all equally likely."""
    words = [random.randint(len(LETTERS), size=random.randint(1, 4)) for _ in range(random.randint(2, 5))]
    return " ".join("".join(LETTERS[letter] for letter in word) for word in words)


def whistled(text: str, random: np.random.RandomState) -> bytes:
    """The sound of a text, as a WAV file."""
    tempo, voice = random.uniform(0.8, 1.2), random.uniform(0.96, 1.04)
    parts = [_silence(random.uniform(0.03, 0.15))]
    for letter in text:
        if letter == " ":
            parts.append(_silence(random.uniform(0.10, 0.14) * tempo))
            continue
        pitch = _LOWEST * _STEP ** LETTERS.index(letter) * voice * random.uniform(0.98, 1.02)
        time = np.arange(int(random.uniform(0.06, 0.11) * tempo * SAMPLE_RATE)) / SAMPLE_RATE  # [T]
        fade = np.clip(np.minimum(time, time[-1] - time) / _RAMP, 0, 1)
        parts += [fade * np.sin(2 * np.pi * pitch * time), _silence(random.uniform(0.02, 0.035) * tempo)]
    parts.append(_silence(random.uniform(0.03, 0.15)))
    clip = np.concatenate(parts) * random.uniform(0.1, 0.6)
    clip += random.normal(0, 0.01, len(clip))
    return encode(clip, SAMPLE_RATE)


def _silence(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * SAMPLE_RATE))

"""Built-in voice commands: the same at every call, balanced, and words that are in the sound."""

from __future__ import annotations

from collections import Counter

import numpy as np

from mmtrain.data.builtin.keywords import COMMANDS, SAMPLE_RATE, keywords
from mmtrain.data.readers.audio import AudioReader
from tests.components import read

SOURCE = keywords(train_rows=16, val_rows=8, test_rows=8)


def test_it_is_the_same_at_every_call_and_differs_with_the_seed() -> None:
    same, other = (
        keywords(train_rows=16, val_rows=8, test_rows=8),
        keywords(train_rows=16, val_rows=8, test_rows=8, seed=1),
    )

    assert same.fingerprint() == SOURCE.fingerprint() != other.fingerprint()


def test_classes_come_equally_often() -> None:
    found = Counter(SOURCE.target(row, "label") for row in SOURCE.splits["train"])

    assert found == dict.fromkeys((*COMMANDS, "unknown", "silence"), 2)


def test_silence_is_far_below_the_loudest_of_any_word() -> None:
    """One second each; a word stands out of its noise."""
    reader = AudioReader("audio", sample_rate=SAMPLE_RATE)
    loudest = {}
    for row in SOURCE.splits["train"]:
        clip = read(reader, SOURCE.cell(row, "audio")).numpy()  # type: ignore[arg-type]
        assert len(clip) == SAMPLE_RATE
        peak, usual = np.abs(clip).max(), np.median(np.abs(clip))
        loudest.setdefault(SOURCE.target(row, "label") == "silence", []).append(peak / usual)

    assert max(loudest[True]) < min(loudest[False])

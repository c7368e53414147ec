"""Built-in speech and scenes: what is said is what can be heard and seen, and the test holds out what it says."""

from __future__ import annotations

import io
from itertools import pairwise, product

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmtrain.data.builtin.scenes import COLOURS, PLACES, SHAPES, held_out, laid_out, picture, scenes, sentence, told
from mmtrain.data.builtin.speech import LETTERS, SAMPLE_RATE, speech, utterance, whistled
from mmtrain.data.memory import MemorySource

SMALL = {"train_rows": 60, "val_rows": 20, "test_rows": 20}
SPLITS = ("train", "val", "test")


def texts(source: MemorySource, split: str) -> list[str]:
    return [source.target(row, source.targets[0]) for row in source.splits[split]]


def heard(clip: bytes) -> str:
    """Letters by the pitch of each stretch of sound, blanks by the longer pauses."""
    samples, rate = soundfile.read(io.BytesIO(clip))
    loud = np.abs(samples[: len(samples) // 20 * 20]).reshape(-1, 20).max(axis=1) > 0.3 * np.abs(samples).max()  # 5 ms
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(int), [0]]))).reshape(-1, 2)
    said = []
    for start, stop in edges:
        part = samples[start * 20 : stop * 20]
        pitch = np.abs(np.fft.rfft(part, 8192)).argmax() * rate / 8192
        said.append(LETTERS[round(np.log(pitch / 260) / np.log(1.3))])
    pauses = [after[0] - before[1] for before, after in pairwise(edges)]
    return said[0] + "".join(
        (" " if pause > 16 else "") + letter for pause, letter in zip(pauses, said[1:], strict=True)
    )


def test_what_is_whistled_can_be_written_down_by_rule() -> None:
    """By pitch and pauses."""
    random = np.random.RandomState(0)
    said = [utterance(random) for _ in range(40)]

    assert [heard(whistled(text, random)) for text in said] == said


def test_utterances_are_new_words_of_the_same_letters() -> None:
    source = speech(**SMALL)
    train, val, test = (set(texts(source, split)) for split in SPLITS)

    assert not train & val | train & test | val & test
    assert set("".join(train)) == set(LETTERS) | {" "}
    assert all(2 <= len(text.split()) <= 4 for text in train | val | test)
    for row in range(len(source.ids)):
        samples, rate = soundfile.read(io.BytesIO(source.cell(row, "audio")))
        assert rate == SAMPLE_RATE
        assert len(samples) <= 3 * SAMPLE_RATE
        assert 0.05 < np.abs(samples).max() < 1


def test_each_test_picture_shows_a_combination_that_training_lacks() -> None:
    """A fifth of all combinations is held out, and of each two of colour, shape and place training has all."""
    everything = list(product(COLOURS, SHAPES, range(len(PLACES))))
    apart = {thing for thing in everything if held_out(thing)}
    assert len(apart) == pytest.approx(len(everything) / 5, abs=2)
    known = [thing for thing in everything if thing not in apart]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert {(thing[one], thing[other]) for thing in known} == {(thing[one], thing[other]) for thing in everything}

    phrases = {sentence([thing]) for thing in apart}
    source = scenes(**SMALL)
    for split in SPLITS:
        new = [bool(phrases & set(text.split(" and "))) for text in texts(source, split)]
        assert set(new) == {split == "test"}


@pytest.mark.parametrize(("place", "y", "x"), [(0, 5, 5), (4, 16, 16), (7, 26, 16)])
def test_a_picture_shows_the_colour_where_the_sentence_says(place: int, y: int, x: int) -> None:
    """At the top left, in the middle, at the bottom; the other corners are ground."""
    things = [("blue", "square", place)]
    pixels = np.asarray(Image.open(io.BytesIO(picture(laid_out(things, np.random.RandomState(1))))))

    assert pixels.shape == (32, 32, 3)
    assert sentence(things) == f"a blue square {['at the top left', 'at the middle', 'at the bottom'][place // 3]}"
    assert np.abs(pixels[y, x].astype(int) - COLOURS["blue"]).max() <= 20
    assert pixels[2, 29].max() < 60


def test_numbers_and_tags_are_those_of_what_is_drawn() -> None:
    """Two shapes on a black ground: what is not black is their area, and the middles of their pixels lie apart so."""
    things = [("red", "square", 0), ("white", "circle", 8)]
    scene = laid_out(things, np.random.RandomState(1))._replace(ground=(0, 0, 0))
    pixels = np.asarray(Image.open(io.BytesIO(picture(scene))), dtype=float).max(axis=2)
    parts = [pixels[:16, :16], pixels[16:, 16:]]
    middles = [np.argwhere(part > 100).mean(axis=0) + 0.5 + 16 * place for place, part in enumerate(parts)]
    tags, area, distance = told(things, scene, ["tags", "area", "distance"])

    assert tags == "red square|white circle"
    assert float(area) == pytest.approx(100 * sum((part / part.max()).mean() for part in parts) / 4, rel=0.05)
    assert float(distance) == pytest.approx(np.linalg.norm(middles[0] - middles[1]), abs=0.3)


def test_the_pictures_are_the_same_whatever_is_told_of_them() -> None:
    one, several = scenes(**SMALL), scenes(target=["tags", "caption"], **SMALL)

    assert several.targets == ("tags", "caption")
    assert all(one.cell(row, "image") == several.cell(row, "image") for row in range(100))
    assert all(one.target(row, "caption") == several.target(row, "caption") for row in range(100))


@pytest.mark.parametrize("make", [speech, scenes])
def test_the_seed_decides_everything_and_a_row_has_all(make) -> None:
    first, again, other = (make(train_rows=6, val_rows=2, test_rows=2, seed=seed) for seed in (1, 1, 2))

    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    assert {split: list(rows) for split, rows in first.splits.items()} == {
        "train": list(range(6)),
        "val": [6, 7],
        "test": [8, 9],
    }
    (name,) = first.kinds
    assert first.present(0, name)
    assert not first.present(0, "other")
    assert first.target(0, "other") is None
    assert first.place(7, name) == f"built-in row val-0001, `{name}`"

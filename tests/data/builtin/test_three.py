"""The built-in data: balanced, without leaks, with ceilings that can be checked by hand."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmtrain.data.builtin.beeps import beep_clip
from mmtrain.data.builtin.sentences import sentences
from mmtrain.data.builtin.three import BuiltinSource, ceilings

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def source() -> BuiltinSource:
    return BuiltinSource(train_rows=144, val_rows=72, test_rows=72)


def cells(source: BuiltinSource, split: str, name: str) -> list[object]:
    return [source.cell(row, name) for row in source.splits[split]]


def samples(clip: bytes) -> np.ndarray:
    return soundfile.read(io.BytesIO(clip))[0]


def count_beeps(clip: bytes) -> int:
    """Rising edges of the loudness in windows of 5 ms."""
    loud = np.abs(samples(clip)).reshape(-1, 20).max(axis=1)
    on = loud > 0.3 * loud.max()
    return int(on[0]) + int((on[1:] & ~on[:-1]).sum())


def test_ceilings_of_four_rows_by_hand():
    """Of the rows 00->x, 01->y, 10->x, 11->x, the first sign settles three, the second three, both four."""
    assert ceilings({"a": [0, 0, 1, 1], "b": [0, 1, 0, 1]}, ["x", "y", "x", "x"]) == {"a": 0.75, "b": 0.75, "a+b": 1.0}


def test_every_modality_and_pair_is_capped_at_seven_twelfths(source):
    """A picture settles the half of the rows that ask for it, and a sixth of the others by chance: 1/2 + 1/12."""
    between = ("image", "audio", "text+image", "text+audio", "image+audio")
    assert list(source.ceilings) == ["text", *between, "text+image+audio"]
    assert source.ceilings["text"] == pytest.approx(1 / 6)
    assert source.ceilings["text+image+audio"] == 1.0
    assert [source.ceilings[name] for name in between] == pytest.approx([7 / 12] * 5)


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("text_image", {"text": 0.1, "image": 0.5, "text+image": 1.0}),
        (
            "arithmetic",
            {"text": 0.1, "image": 1 / 6, "audio": 0.1, "text+image": 1 / 6, "text+audio": 0.1, "image+audio": 7 / 12},
        ),
    ],
)
def test_ceilings_of_the_variants(variant, expected):
    """Five beeps lead to the same digit up and down, so picture and sound settle one row in six fully: 7/12."""
    source = BuiltinSource(variant=variant, train_rows=120, val_rows=120, test_rows=120)
    assert {name: source.ceilings[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("variant", ["look_or_listen", "text_image", "arithmetic"])
def test_classes_are_equally_frequent_in_every_split(variant):
    """A majority guess gains nothing."""
    source = BuiltinSource(variant=variant, train_rows=360, val_rows=360, test_rows=360)
    for split in SPLITS:
        assert len(set(Counter(source.target(row, "label") for row in source.splits[split]).values())) == 1


def test_no_cell_is_shared_between_splits(source):
    """No picture, sound or sentence of a split is known from another."""
    for name in source.kinds:
        train, val, test = (set(cells(source, split, name)) for split in SPLITS)
        assert not train & val
        assert not train & test
        assert not val & test


@pytest.mark.parametrize("directions", [("look", "listen"), ("add", "take")])
def test_held_out_sentences_use_words_of_train_only(directions):
    """A sentence of val or test is new, but none of its words is."""
    words = {
        split: {
            word for direction in directions for text in sentences(direction, split, "one") for word in text.split()
        }
        for split in SPLITS
    }
    assert words["val"] | words["test"] <= words["train"]


@pytest.mark.parametrize(("one", "other"), [("look", "listen"), ("add", "take")])
def test_sentences_of_both_directions_differ(one, other):
    """Each sentence says one direction only."""
    for split in SPLITS:
        said = [*sentences(one, split, "one"), *sentences(other, split, "one")]
        assert len(set(said)) == len(said)


def test_the_sentence_picks_the_digit_or_the_beeps(source):
    """In the rows that say listen the label is the number of beeps that can be counted in the clip."""
    heard = {text for split in SPLITS for text in sentences("listen", split, "")}
    rows = [row for row in source.splits["test"] if source.cell(row, "text") in heard]
    assert len(rows) == 36
    assert [str(count_beeps(source.cell(row, "audio"))) for row in rows] == [
        source.target(row, "label") for row in rows
    ]


def test_the_number_of_beeps_can_be_counted():
    """What is asked for is what sounds."""
    random = np.random.RandomState(0)
    for count in range(1, 7):
        assert [count_beeps(beep_clip(count, random)) for _ in range(50)] == [count] * 50


def test_neither_energy_nor_sounding_time_tells_the_number_of_beeps():
    """Over 200 clips each, 1 and 6 beeps have the same mean energy and sounding time within 5 %."""
    one, six = ([samples(beep_clip(count, np.random.RandomState(seed))) for seed in range(200)] for count in (1, 6))

    energy = [np.mean([np.sqrt(np.mean(clip**2)) for clip in clips]) for clips in (one, six)]
    sounding = [np.mean([np.mean(np.abs(clip) > 0.1 * np.abs(clip).max()) for clip in clips]) for clips in (one, six)]
    assert energy[0] == pytest.approx(energy[1], rel=0.05)
    assert sounding[0] == pytest.approx(sounding[1], rel=0.05)


def test_media_are_files_of_ordinary_formats(source):
    """Pictures are grey PNG of 8x8 pixels; sounds are mono WAV of one second at 2 kHz that do not clip."""
    picture = Image.open(io.BytesIO(source.cell(0, "image")))
    clip, rate = soundfile.read(io.BytesIO(source.cell(0, "audio")))
    assert (picture.format, picture.mode, picture.size) == ("PNG", "L", (8, 8))
    assert (clip.shape, rate) == ((2000,), 2000)
    assert 0.05 < np.abs(clip).max() < 1


def test_the_seed_decides_everything():
    """The same seed gives the same data, another one other data."""
    first, again, other = (
        BuiltinSource(variant="text_image", train_rows=20, val_rows=20, test_rows=20, seed=seed).fingerprint()
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_number_of_rows_that_cannot_be_balanced_is_refused():
    """Rows must be a multiple of the combinations; the nearest legal number is named."""
    with pytest.raises(ValueError, match=r"`test_rows` \(=100\) must be a multiple of 72; try test_rows=72"):
        BuiltinSource(train_rows=72, val_rows=72, test_rows=100)


def test_an_unknown_variant_is_refused():
    with pytest.raises(ValueError, match="look_or_listen, text_image, arithmetic"):
        BuiltinSource(variant="sing")

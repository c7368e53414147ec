"""What all corruptions must hold to: exact at level 0, never milder as the level grows, repeatable, not in place."""

from __future__ import annotations

import math

import pytest
import torch

from mmtrain.corruptions import audio, image, text, video
from mmtrain.corruptions.catalogue import TEXT, VALUES, names

LEVELS = [0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]
SENTENCE = "Look at the picture, listen to 3 beeps; 请看这张图片 and say a number"


def picture(*shape: int, seed: int = 0) -> torch.Tensor:
    """Stripes with noise, from dark to light: uint8 of [...,C,H,W]."""
    generator = torch.Generator().manual_seed(seed)
    ramp = torch.linspace(0, 200, shape[-1]) + 40 * (torch.arange(shape[-2]) % 3).unsqueeze(1)
    return (ramp + 15 * torch.rand(shape, generator=generator)).clamp(0, 255).to(torch.uint8)


def frames(count: int = 12) -> torch.Tensor:
    """A video whose frames are all different."""
    return torch.stack([picture(1, 8, 9, seed=number).add(number) for number in range(count)])


SAMPLES = {
    "image": picture(3, 20, 31),
    "video": frames(),
    "audio": torch.sin(torch.arange(997) / 9) * torch.linspace(0.1, 0.9, 997),
    "features": torch.randn(7, 5, generator=torch.Generator().manual_seed(1)),
    "tabular": torch.arange(9.0),
}
ALL = [(kind, name) for kind, found in VALUES.items() for name in found]
IN_TIME = {("video", "drop"), ("video", "freeze"), ("video", "shift"), ("audio", "shift")}
"""What moves or removes steps: how many are lost counts there, as a moved wave may be as far off as one moved more."""


def distance(kind: str, name: str, changed: torch.Tensor) -> float:
    """How much was changed: the root of the mean square difference, blank cells, or steps that are not seen."""
    given = SAMPLES[kind]
    if (kind, name) == ("tabular", "blank"):
        return float(changed.isnan().sum())
    if kind == "video" and (kind, name) in IN_TIME:
        left = {frame.numpy().tobytes() for frame in changed}
        return sum(frame.numpy().tobytes() not in left for frame in given)
    if (kind, name) == ("audio", "shift"):
        return float((changed == 0).sum())
    return (changed.float() - given.float()).square().mean().sqrt().item()


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_level_zero_changes_nothing(kind, name):
    """To the bit, so that a curve starts at the score of the clean split."""
    assert torch.equal(VALUES[kind][name](SAMPLES[kind], 0.0, 7), SAMPLES[kind])


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_more_is_never_less(kind, name):
    """For several keys; and level 1 is a change."""
    for key in range(5):
        found = [distance(kind, name, VALUES[kind][name](SAMPLES[kind], level, key)) for level in LEVELS]

        assert found == sorted(found)
        assert found[-1] > found[0]


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_sample_keeps_its_type_and_is_not_changed_in_place(kind, name):
    given = SAMPLES[kind].clone()

    changed = VALUES[kind][name](given, 0.6, 7)

    assert torch.equal(given, SAMPLES[kind])
    assert changed.dtype == given.dtype
    assert changed.shape[1:] == given.shape[1:]
    assert kind == "tabular" or bool(changed.float().isfinite().all())


@pytest.mark.parametrize(("kind", "name"), [pair for pair in ALL if pair[1] not in ("blur", "contrast", "clipping")])
def test_the_key_decides(kind, name):
    """Equal keys change a sample equally; among ten others there is one that changes it otherwise."""
    change, given = VALUES[kind][name], SAMPLES[kind]
    first = change(given, 0.5, 0)

    assert torch.equal(change(given, 0.5, 0).nan_to_num(-1), first.nan_to_num(-1))
    assert any(
        other.shape != first.shape or not torch.equal(other.nan_to_num(-1), first.nan_to_num(-1))
        for other in (change(given, 0.5, key) for key in range(1, 11))
    )


@pytest.mark.parametrize("name", TEXT)
def test_texts_change_by_words(name):
    """At level 0 none, then never fewer, at 1 all of them; a key decides which."""
    words = text._WORD.findall(SENTENCE)
    for key in range(5):
        counts = [len(words) - kept(TEXT[name](SENTENCE, level, key), words) for level in LEVELS]

        assert counts == sorted(counts)
        assert counts[0] == 0
        assert TEXT[name](SENTENCE, 0.0, key) == SENTENCE
        assert TEXT[name](SENTENCE, 0.5, key) == TEXT[name](SENTENCE, 0.5, key)
    assert len({TEXT[name](SENTENCE, 0.5, key) for key in range(5)}) > 1


def kept(changed: str, words: list[str]) -> int:
    """How many of the words are found in a text, in their order."""
    rest, found = iter(changed.replace("请", " 请 ").split()), 0
    left = text._WORD.findall(" ".join(rest))
    for word in words:
        if word in left:
            left = left[left.index(word) + 1 :]
            found += 1
    return found


def test_typing_errors_by_hand():
    """A letter twice, a letter lost, two letters swapped; of equal letters, one is doubled instead."""
    assert text._mistyped("word", 0.0, 0.0) == "wword"
    assert text._mistyped("word", 0.5, 0.9) == "wod"
    assert text._mistyped("word", 0.9, 0.9) == "wodr"
    assert text._mistyped("aab", 0.9, 0.0) == "aaab"
    assert text._mistyped("a", 0.9, 0.9) == "aa"


def test_every_word_of_a_text_can_be_lost():
    assert text.drop("two words", 1.0, 3).strip() == ""
    assert text.drop("", 1.0, 3) == ""


def test_noise_has_the_ratio_that_its_docstring_says():
    """At level .5 about 1 dB."""
    sound = torch.sin(torch.arange(20_000) / 5)

    noise = audio.noise(sound, 0.5, 1) - sound

    assert 10 * math.log10(sound.square().mean() / noise.square().mean()) == pytest.approx(1.02, abs=0.1)


def test_silence_stays_silent():
    assert not audio.noise(torch.zeros(100), 1.0, 1).any()
    assert not audio.clipping(torch.ones(100), 1.0, 1).any()


def test_a_sound_that_is_late_by_half_ends_with_its_first_half():
    sound = torch.arange(1.0, 9.0)
    halves = {tuple(audio.shift(sound, 0.5, key).tolist()) for key in range(8)}

    assert halves == {(0, 0, 0, 0, 1, 2, 3, 4), (5, 6, 7, 8, 0, 0, 0, 0)}


def test_specks_are_black_or_white_and_as_many_as_asked():
    grey = torch.full((3, 100, 100), 128, dtype=torch.uint8)
    changed = image.salt(grey, 0.2, 1)

    assert set(changed.unique().tolist()) == {0, 128, 255}
    assert (changed[0] != 128).float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert torch.equal(changed[0], changed[2])


def test_what_covers_a_picture_has_the_share_asked_for():
    changed = image.occlusion(torch.zeros(1, 20, 40, dtype=torch.uint8), 0.25, 1)

    assert int((changed == 128).sum()) == 10 * 20


def test_blurring_keeps_a_flat_picture_and_the_mean():
    flat = torch.full((1, 9, 9), 77, dtype=torch.uint8)
    point = torch.zeros(1, 9, 9, dtype=torch.uint8)
    point[0, 4, 4] = 255

    assert torch.equal(image.blur(flat, 1.0, 1), flat)
    assert image.blur(point, 0.5, 1).max() < 60


def test_one_frame_is_always_left():
    assert len(video.drop(frames(4), 1.0, 1)) == 1
    assert len(video.drop(frames(4), 1.0, 2)) == 1
    frozen = video.freeze(frames(4), 1.0, 1)
    assert all(torch.equal(frame, frames(4)[0]) for frame in frozen)


def test_a_kind_of_ones_own_has_no_corruptions():
    assert names("touch") == ()
    assert names("text") == ("typos", "drop")

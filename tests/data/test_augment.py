"""What each augmentation does, with numbers one can check by hand."""

from dataclasses import replace

import pytest
import torch

from mmtrain.contracts import SignalSpec
from mmtrain.data.augment.audio import AudioAugment
from mmtrain.data.augment.image import ImageAugment
from mmtrain.data.augment.text import WordDropout

IMAGE = SignalSpec("image", "image", shape=(1, 4, 6))
AUDIO = SignalSpec("audio", "audio", length=8, sample_rate=4)
TEXT = SignalSpec("text", "text", length=9, vocabulary=("<pad>", "<unknown>", "a", "b", "c"))
PICTURE = torch.arange(24, dtype=torch.uint8).view(1, 4, 6)


def test_a_flip_of_probability_1_mirrors_left_and_right():
    flip = ImageAugment(IMAGE, shift=0, flip=1)

    assert torch.equal(flip(PICTURE, key=0), PICTURE.flip(2))


def test_a_shift_moves_the_picture_and_repeats_its_edge():
    """A quarter of four rows and a third of six columns: at most one row and two columns."""
    shift = ImageAugment(IMAGE, shift=0.3, flip=0)
    expected = {
        tuple(PICTURE[0, max(0, min(3, 1 + down)), [max(0, min(5, x + right)) for x in range(6)]].tolist())
        for down in (-1, 0, 1)
        for right in (-2, -1, 0, 1, 2)
    }

    seen = {tuple(shift(PICTURE, key)[0, 1].tolist()) for key in range(60)}

    assert seen <= expected
    assert len(seen) > 10


def test_a_crop_enlarges_a_part():
    """Of a picture that is dark on the left and bright on the right, parts lie in between and keep its size."""
    crop = ImageAugment(IMAGE, crop=0.2, shift=0, flip=0)

    means = [crop(PICTURE, key).float().mean().item() for key in range(20)]

    assert max(means) - min(means) > 2
    assert all(0 <= mean <= 23 for mean in means)


def test_colours_change_in_brightness_and_grey_pictures_have_no_hue():
    hue = ImageAugment(IMAGE, shift=0, flip=0, saturation=1, hue=0.5)
    bright = ImageAugment(IMAGE, shift=0, flip=0, brightness=0.5)

    assert torch.equal(hue(PICTURE, key=0), PICTURE)
    assert len({bright(PICTURE * 5, key).sum().item() for key in range(5)}) == 5


def test_erasing_blackens_a_rectangle():
    white = torch.full((1, 4, 6), 255, dtype=torch.uint8)

    erased = ImageAugment(IMAGE, shift=0, flip=0, erase=1)(white, key=0)

    assert set(erased.flatten().tolist()) == {0, 255}


def test_frames_of_a_clip_are_changed_alike():
    clip = PICTURE.expand(3, 1, 4, 6)

    changed = ImageAugment(IMAGE, policy="trivial")(clip, key=3)

    assert torch.equal(changed[0], changed[1])
    assert torch.equal(changed[0], changed[2])


def test_a_sound_is_moved_with_silence_in_the_gap():
    """Up to half a second at 4 Hz are two samples."""
    move = AudioAugment(AUDIO, shift=0.5, gain=0, noise=0)
    sound = torch.tensor([1.0, 2, 3, 4])

    seen = {tuple(move(sound, key).tolist()) for key in range(60)}

    assert seen == {(1, 2, 3, 4), (0, 1, 2, 3), (0, 0, 1, 2), (2, 3, 4, 0), (3, 4, 0, 0)}


def test_another_speed_makes_a_sound_shorter_or_longer_and_keeps_its_ends():
    """8 samples at .5 to 1.5 times the speed are 5 to 16; the spec allows 12. A ramp remains one."""
    play = AudioAugment(replace(AUDIO, length=12), shift=0, gain=0, noise=0, speed=0.5)
    ramp = torch.arange(8.0)

    played = [play(ramp, key) for key in range(100)]

    assert {len(sound) for sound in played} == set(range(5, 13))
    for sound in played:
        assert sound[0] == 0
        assert torch.allclose(sound.diff(), sound[1].expand(len(sound) - 1), atol=1e-5)
    assert all(sound[-1] == 7 for sound in played if len(sound) < 12)


def test_gain_is_in_decibels():
    """6.02 dB double the amplitude at most, or halve it."""
    gain = AudioAugment(AUDIO, shift=0, gain=6.0206, noise=0)

    louder = [gain(torch.ones(2), key)[0].item() for key in range(200)]

    assert 0.5 <= min(louder) < 0.55
    assert 1.9 < max(louder) <= 2.0


def test_noise_has_the_power_that_the_ratio_says():
    """At 20 dB the noise has a hundredth of the power of the sound: 4 / 100."""
    noisy = AudioAugment(replace(AUDIO, length=100_000), shift=0, gain=0, noise=1, snr=(20, 20))
    sound = torch.full((100_000,), 2.0)

    noise = noisy(sound, key=0) - sound

    assert noise.square().mean().item() == pytest.approx(0.04, rel=0.02)


def test_silence_stays_silent():
    """A ratio to nothing is nothing, not nan."""
    assert AudioAugment(AUDIO, noise=1)(torch.zeros(8), key=0).tolist() == [0.0] * 8


def test_dropped_words_become_unknown():
    """At rate 1 all of them; at rate .5 about half."""
    ids = torch.tensor([2, 3, 4] * 1000)

    assert WordDropout(TEXT, rate=1)(ids, key=0).unique().tolist() == [1]
    assert 1400 < (WordDropout(TEXT, rate=0.5)(ids, key=0) == 1).sum() < 1600
    assert torch.equal(WordDropout(TEXT, rate=0)(ids, key=0), ids)


def test_marks_of_a_tokenizer_are_not_dropped():
    """Unknown is 2 here, begin and end are 3 and 4."""
    spec = replace(TEXT, special=(2, 0, 3, 4))

    assert WordDropout(spec, rate=1)(torch.tensor([3, 1, 1, 4]), key=0).tolist() == [3, 2, 2, 4]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ImageAugment(TEXT), "changes pictures, but modality `text` is text"),
        (lambda: AudioAugment(TEXT), "changes sound, but modality `text` is text"),
        (lambda: WordDropout(IMAGE), "drops words, but modality `image` is image"),
        (lambda: AudioAugment(AUDIO, snr=(30, 10)), r"must be \[least, greatest\]; try \[10, 30\]"),
    ],
)
def test_what_does_not_fit_the_modality_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()

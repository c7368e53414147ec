"""Sounds of every legal kind become the same samples; all others are refused in one line."""

import io
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from mmtrain.contracts import SignalSpec
from mmtrain.data.readers.audio import AudioReader
from mmtrain.data.store import key_of
from mmtrain.largefile import LargeFile
from mmtrain.paths import safe_read
from tests.components import read

RATE = 8000
PCM_16 = (1, 16)
COMPRESSED = [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]


def tone(samples: int = 2000, pitch: float = 440.0, rate: int = RATE) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * pitch * np.arange(samples) / rate)).astype(np.float32)


def encode(samples: NDArray[np.float32], form: str = "WAV", subtype: str = "PCM_16", rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=form, subtype=subtype)
    return buffer.getvalue()


def wav(
    body: bytes, *, kind: tuple[int, int] = PCM_16, rate: int = RATE, channels: int = 1, size: int | None = None
) -> bytes:
    """A WAV written by hand; `size` is what the header claims."""
    tag, bits = kind
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", tag, channels, rate, rate * block, block, bits)
    claimed = len(body) if size is None else size
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", claimed) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def reader(seconds: float = 1.0, sample_rate: int = RATE) -> AudioReader:
    return AudioReader("audio", sample_rate=sample_rate, seconds=seconds)


@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_wav_is_read_as_libsndfile_reads_it(form: str, subtype: str, channels: int):
    """Our own decoder and libsndfile agree to the last bit, before channels are joined."""
    samples = np.stack([tone(pitch=200.0 * (1 + number)) for number in range(channels)], axis=1)
    data = encode(samples, form, subtype)
    expected, _ = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)

    values = read(reader(), data)

    assert values.dtype == torch.float32
    torch.testing.assert_close(values, torch.from_numpy(expected.mean(axis=1)), rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ((1, 8), bytes([0, 128, 192]), [-1, 0, 0.5]),
        ((1, 16), struct.pack("<3h", -32768, 0, 16384), [-1, 0, 0.5]),
        ((1, 24), b"\x00\x00\x80" + b"\x00\x00\x00" + b"\x00\x00\x40", [-1, 0, 0.5]),
        ((1, 32), struct.pack("<3i", -(2**31), 0, 2**30), [-1, 0, 0.5]),
        ((3, 32), struct.pack("<3f", -1, 0, 0.5), [-1, 0, 0.5]),
        ((3, 64), struct.pack("<3d", -1, 0, 0.5), [-1, 0, 0.5]),
    ],
)
def test_the_loudest_stored_value_is_one(kind: tuple[int, int], body: bytes, expected: list[float]):
    """Integers are divided by their range, floats are taken as they are."""
    assert read(reader(), wav(body, kind=kind)).tolist() == expected


@pytest.mark.parametrize(("form", "subtype"), COMPRESSED)
def test_compressed_formats_give_the_tone_back(form: str, subtype: str):
    """As exactly as the format keeps it, away from the edges: to the step of 16 bits, or a fifth of its loudness."""
    tolerance = 1e-4 if form == "FLAC" else 0.1
    values = read(reader(), encode(tone(8000), form, subtype))

    assert len(values) == 8000
    assert (values - torch.from_numpy(tone(8000)))[1000:7000].abs().max().item() < tolerance


def test_channels_become_their_mean():
    """0.5 on the left and -0.25 on the right make 0.125."""
    assert read(reader(), wav(struct.pack("<2f", 0.5, -0.25), kind=(3, 32), channels=2)).tolist() == [0.125]


@pytest.mark.parametrize("rate", [8000, 11_025, 44_100, 48_000, 192_000])
def test_every_rate_ends_at_the_one_wanted(rate: int):
    """A quarter of a second of a low tone is the same tone at 16 kHz, away from the edges."""
    data = encode(tone(rate // 4, rate=rate), "WAV", "FLOAT", rate)

    values = read(reader(sample_rate=16_000), data)

    assert len(values) == pytest.approx(4000, abs=1)
    assert (values[200:3800] - torch.from_numpy(tone(4000, rate=16_000))[200:3800]).abs().max().item() < 0.01


@pytest.mark.parametrize(("form", "subtype"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")])
def test_the_window_can_be_the_centre(form: str, subtype: str):
    """The second of three seconds, as it is in the whole sound; a shorter sound is whole."""
    data = encode(tone(3 * RATE, pitch=300), form, subtype)
    whole = read(reader(seconds=3), data)

    part = read(AudioReader("audio", sample_rate=RATE, window="centre"), data)

    torch.testing.assert_close(part, whole[RATE : 2 * RATE], rtol=0, atol=1e-3)
    assert torch.equal(read(AudioReader("audio", sample_rate=RATE, seconds=9, window="centre"), data), whole)


def test_the_window_can_be_drawn_in_training():
    """Any part of the ramp 0..9, equal for equal keys; evaluation takes the centre of it."""
    ramp = wav(struct.pack("<10f", *range(10)), kind=(3, 32), rate=100)
    drawing = AudioReader("audio", sample_rate=100, seconds=0.04, window="random")
    decoded = drawing.decode(ramp)

    drawn = {tuple(drawing.vary(decoded, key).tolist()) for key in range(60)}

    assert drawn == {(start, start + 1, start + 2, start + 3) for start in range(7)}
    assert torch.equal(drawing.vary(decoded, 5), drawing.vary(decoded, 5))
    assert drawing.finish(decoded).tolist() == [3, 4, 5, 6]
    assert drawing.finish(drawing.vary(decoded, 5)).tolist() == drawing.vary(decoded, 5).tolist()


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3"])
def test_the_length_is_measured_without_decoding(form: str):
    """Half a second at 8 kHz are 2,000 samples at 4 kHz, as many as reading gives; at most the window."""
    data = encode(tone(4000), form, "MPEG_LAYER_III" if form == "MP3" else None)

    assert reader(sample_rate=4000).measure(data) == len(read(reader(sample_rate=4000), data)) == 2000
    assert reader(seconds=0.25).measure(data) == 2000
    with pytest.raises(ValueError, match="no WAV, FLAC, Ogg or MP3 sound"):
        reader().measure(b"nothing of that kind")


def test_the_window_is_the_start():
    """Half a second of three is the first half second, and the longest length is exact."""
    samples = tone(3 * RATE)
    short = reader(seconds=0.5)

    values = read(short, encode(samples, "WAV", "FLOAT"))

    assert short.fit([]) == SignalSpec("audio", "audio", length=RATE // 2, sample_rate=RATE)
    assert values.tolist() == samples[: RATE // 2].tolist()


def test_a_resampled_window_is_no_longer_than_said():
    """Rounding at odd rates must not exceed the length in the spec."""
    values = read(reader(seconds=0.1, sample_rate=16_000), encode(tone(22_050), rate=22_050))

    assert len(values) == 1600


def test_only_the_window_of_a_long_file_is_decoded():
    """What follows the window is not even looked at: here it is nan."""
    body = np.concatenate([tone(RATE), np.full(RATE, np.nan, np.float32)])

    assert read(reader(), wav(body.tobytes(), kind=(3, 32))).isfinite().all()


@pytest.mark.parametrize(
    ("form", "subtype"), [("WAV", "PCM_24"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")]
)
def test_a_file_that_stays_on_the_disk_is_read_alike(tmp_path, form: str, subtype: str):
    data = encode(tone(70_000), form, subtype)
    (tmp_path / "tone").write_bytes(data)
    centre = AudioReader("audio", sample_rate=RATE, seconds=1.0, window="centre")

    assert torch.equal(read(centre, LargeFile(tmp_path / "tone")), read(centre, data))


def test_three_hours_are_not_held(tmp_path):
    """10,800 s of 16 bits at 16 kHz are 346 MB; of their window, and while the file is hashed, a few are held."""
    size = 2 * 16_000 * 10_800
    with (tmp_path / "long").open("wb") as file:
        file.write(wav(b"", rate=16_000, size=size))
        file.truncate(file.tell() + size)  # zeros that take no room on the disk
    tracemalloc.start()
    try:
        content = safe_read(tmp_path, "long", max_bytes=2**30)
        key_of(content)
        samples = read(AudioReader("audio", sample_rate=16_000, seconds=2.0, window="centre"), content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (len(content), len(samples)) == (44 + size, 32_000)
    assert peak < 10e6


def test_silence_is_a_sound():
    """Zeros are legal values."""
    assert read(reader(), wav(b"\0\0" * 8)).tolist() == [0.0] * 8


def test_a_tag_before_the_sound_is_skipped():
    """ID3 may stand before MP3, and some tools put it before FLAC."""
    tag = b"ID3\x04\x00\x00" + bytes([0, 0, 1, 2]) + b"x" * 130  # sizes count 7 bits a byte: 1 * 128 + 2
    data = encode(tone(), "FLAC", "PCM_16")

    assert torch.equal(read(reader(), tag + data), read(reader(), data))


def test_chunks_before_the_samples_are_skipped():
    """Editors leave lists of names there; one of odd length is followed by a byte of padding."""
    plain = wav(struct.pack("<2h", 1, 2))
    extra = plain[:12] + b"LIST" + struct.pack("<I", 3) + b"abc\0" + plain[12:]

    assert read(reader(), extra).tolist() == read(reader(), plain).tolist()


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
@pytest.mark.parametrize(("form", "subtype"), [("WAV", "PCM_16"), ("WAV", "FLOAT"), *COMPRESSED])
def test_a_truncated_file_is_refused(form: str, subtype: str, share: float):
    """Whatever libsndfile would have made of the rest."""
    data = encode(tone(8000), form, subtype)

    with pytest.raises(ValueError, match=r"truncated|damaged|no WAV"):
        read(reader(), data[: int(share * len(data))])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"RIFF", "no WAV, FLAC, Ogg or MP3"),
        (wav(b"")[:44], "has no samples"),
        (wav(b"")[:36], "ends before its samples"),
        (wav(b"\0" * 100, size=2**31), "promises 2,147,483,648 bytes of sound, 100 are there"),
        (b"RIFF\x0c\0\0\0WAVEdata\0\0\0\0", "no format stands before"),
        (wav(b"\0" * 8, channels=0), "0 channels"),
        (wav(b"\0" * 66, channels=33), "33 channels"),
        (wav(b"\0" * 8, rate=0), "at 0 Hz"),
        (b"<html>404</html>", "begins with b'<html>40'"),
        (b"ID3", "no WAV, FLAC, Ogg or MP3"),
        (b"OggS", "truncated Ogg"),
        (b"\xff\xfb\x90\x00", "damaged sound"),
    ],
)
def test_a_broken_header_is_refused(data: bytes, message: str):
    """The message says what was found."""
    with pytest.raises(ValueError, match=message):
        read(reader(), data)


@pytest.mark.parametrize("tag", [0x0002, 0x0011, 0x0006, 0x0055, 0xFFFE])
def test_wav_that_is_neither_pcm_nor_float_is_refused(tag: int):
    """The ADPCM decoders of libsndfile have had holes; such a file never reaches them."""
    with pytest.raises(ValueError, match=f"format tag {tag:#x} at 4 bits"):
        read(reader(), wav(b"\0" * 64, kind=(tag, 4), channels=2))


@pytest.mark.parametrize("form", ["AIFF", "CAF", "AU", "W64"])
def test_formats_outside_the_list_stay_closed(form: str):
    """Whatever the name of the file says; an ID3 tag does not smuggle one in."""
    data = encode(tone(), form, "PCM_16")

    for disguised in (data, b"ID3\x04\0\0\0\0\0\0" + data):
        with pytest.raises(ValueError, match="no WAV, FLAC, Ogg or MP3"):
            read(reader(), disguised)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_samples_that_are_not_finite_are_refused(value: float):
    """Also what is finite in 64 bits and not in 32."""
    with pytest.raises(ValueError, match="nan or infinite"):
        read(reader(), wav(struct.pack("<2d", 0, value), kind=(3, 64)))


def test_a_signalling_nan_is_refused_without_a_warning():
    """Arithmetic on these bits warns, where a quiet nan passes."""
    with pytest.raises(ValueError, match="nan or infinite"):
        read(reader(), wav(b"\x01\x00\x80\x7f", kind=(3, 32)))


def test_a_rate_that_needs_a_giant_kernel_is_refused():
    """44,101 and 16,000 have no common factor: the resampler would need gigabytes."""
    with pytest.raises(ValueError, match="a rate of 44101 Hz cannot be brought to 16000 Hz"):
        read(reader(sample_rate=16_000), wav(b"\0\0" * 8, rate=44_101))


def test_a_long_file_is_refused_unread():
    """The limit is a setting."""
    with pytest.raises(ValueError, match=r"more than `max_bytes` \(=10\)"):
        read(AudioReader("audio", max_bytes=10), wav(b"\0\0" * 8))


def test_a_window_of_one_sample_is_refused():
    """A sound needs a length."""
    with pytest.raises(ValueError, match="`seconds`"):
        AudioReader("audio", sample_rate=100, seconds=0.01)


def test_a_restored_reader_reads_as_the_spec_says():
    """Rate and length come from there, not from the constructor."""
    restored = AudioReader("audio")

    restored.restore(SignalSpec("audio", "audio", length=100, sample_rate=RATE))

    assert read(restored, wav(b"\1\0" * 200)).shape == (100,)


def test_a_spec_without_a_rate_is_refused():
    """It belongs to another kind."""
    with pytest.raises(ValueError, match="sample rate"):
        reader().restore(SignalSpec("audio", "audio", length=100))

"""Frames arrive by the time at which they show, from every container; what is no sound video is refused in one line."""

from __future__ import annotations

import io
import random
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mmtrain.contracts import SignalSpec
from mmtrain.data.readers.image import ImageReader
from mmtrain.data.readers.video import VideoReader
from mmtrain.errors import ConfigError
from tests.components import read
from tests.videos import GREYS, encoded, gif

MP4 = encoded()


def png(grey: int, size: tuple[int, int] = (4, 4)) -> bytes:
    file = io.BytesIO()
    Image.new("L", size, grey).save(file, "PNG")
    return file.getvalue()


def greys(values: Tensor) -> list[int]:
    """The frames of the test video that [F,C,H,W] uint8 shows, by number."""
    shown = values.float().mean(dim=(1, 2, 3))
    return [int((shown_grey / 20).round()) for shown_grey in shown]


def reader(**arguments: object) -> VideoReader:
    return VideoReader("video", **{"size": 8, "num_frames": 4, **arguments})


@pytest.mark.parametrize(
    ("form", "codec"),
    [("mp4", "mpeg4"), ("mov", "libx264"), ("matroska", "libx264"), ("webm", "libvpx"), ("avi", "mpeg4")],
)
def test_frames_are_taken_from_the_middles_of_equal_parts(form: str, codec: str):
    """Of 12 frames in 1.2 s, those that show at 0.15, 0.45, 0.75 and 1.05 s."""
    values = reader().decode(encoded(form, codec))

    assert (values.shape, values.dtype) == ((4, 3, 8, 8), torch.uint8)
    assert greys(values) == [1, 4, 7, 10]


def test_an_animated_gif_is_a_video():
    """Its frames may last differently: here the first shows for 0.9 of 2 s."""
    assert greys(reader().decode(gif())) == [1, 4, 7, 10]
    assert greys(reader().decode(gif(milliseconds=[900] + [100] * 11))) == [0, 0, 4, 9]


def test_time_counts_and_not_the_number_of_frames():
    """At 0, 0.1, 0.2, 0.3 and 3.6 s: until its last part, the fourth frame is shown. In all 4.5 s, a quarter each."""
    assert greys(reader().decode(encoded(greys=GREYS[:5], times=[0, 1, 2, 3, 36]))) == [3, 3, 3, 4]


def test_a_short_video_shows_its_frames_more_than_once():
    assert greys(reader().decode(encoded(greys=GREYS[:2]))) == [0, 0, 1, 1]
    assert greys(reader().decode(encoded(greys=GREYS[3:4]))) == [3, 3, 3, 3]


@pytest.mark.parametrize("video", [encoded(greys=GREYS[:3]), gif(greys=GREYS[:3])], ids=["mp4", "gif"])
def test_a_video_of_fewer_frames_than_asked_for_can_be_refused(video: bytes):
    assert len(reader(min_frames=3).decode(video)) == 4
    with pytest.raises(ValueError, match=r"the video has 3 frames, fewer than `min_frames` \(=4\)"):
        reader(min_frames=4).decode(video)


def test_a_rate_takes_frames_from_the_start_as_long_as_there_are_some():
    """Five a second are every other of ten; of 1.2 s that gives six, and no more than `num_frames`."""
    assert greys(reader(fps=5.0, num_frames=9).decode(MP4)) == [0, 2, 4, 6, 8, 10]
    assert greys(reader(fps=5.0).decode(MP4)) == [0, 2, 4, 6]
    assert greys(reader(fps=20.0).decode(MP4)) == [0, 0, 1, 1]


def test_the_pace_is_that_of_the_frames_taken():
    """Twelve frames of .1 s: four of them are 1.2 / 4 = .3 s apart; at 2 a second, .5 s; pictures do not tell."""
    assert VideoReader("video", num_frames=4).pace(gif()) == pytest.approx(1 / 0.3)
    assert VideoReader("video", num_frames=4, fps=2).pace(gif()) == 2
    assert VideoReader("video").pace((b"", b"")) is None


def test_clips_are_equal_parts_of_the_video():
    """Of twelve frames three clips of two: the middles of the halves of four frames each."""
    clips = reader(num_frames=2, clips=3)

    assert greys(clips.decode(MP4)) == [1, 3, 5, 7, 9, 11]
    assert clips.pace(MP4) == pytest.approx(5)


def test_clips_at_a_rate_are_spread_evenly_and_may_overlap():
    """In 1.2 s, .8 s a clip: they start at 0, .2 and .4 s. One of 2.4 s is longer than the video."""
    spread = reader(fps=5.0, clips=3)
    assert greys(spread.decode(MP4)) == [0, 2, 4, 6, 2, 4, 6, 8, 4, 6, 8, 10]
    assert greys(reader(fps=2.5, num_frames=6, clips=2).decode(MP4)) == [0, 4, 8, 8, 8, 8] * 2


def test_training_takes_one_of_the_clips():
    clips = reader(num_frames=2, clips=3)
    values = clips.decode(MP4)
    taken = {tuple(greys(clips.vary(values, key))) for key in range(20)}

    assert taken == {(1, 3), (5, 7), (9, 11)}
    assert reader().vary(values, 0) is values


def test_clips_are_not_cut_out_of_pictures():
    with pytest.raises(ValueError, match=r"`clips` \(=3\).* several pictures"):
        reader(clips=3).decode((png(0), png(1)))


def test_several_pictures_are_a_sequence():
    """Each is read as a picture is; a blank one is left out, and of too many some are taken evenly."""
    one = ImageReader("image", size=8)
    pictures = tuple(png(grey) for grey in GREYS)

    values = reader().decode((pictures[2], None, pictures[5]))

    assert torch.equal(values, torch.stack([one.decode(pictures[2]), one.decode(pictures[5])]))
    assert greys(reader().decode(pictures)) == [1, 4, 7, 10]


def test_frames_are_normalised_as_pictures_are():
    values = read(reader(mean=[0.5, 0.1, 0.0], std=[0.25, 0.2, 1.0], num_frames=2), (png(255), png(0)))

    torch.testing.assert_close(values[:, :, 0, 0], torch.tensor([[2, 4.5, 1], [-2, -0.5, 0]]))


def test_a_video_filmed_upright_is_shown_upright():
    """Phones store it lying, with a matrix that turns it; here clockwise, so that the left half ends on top."""
    half = np.zeros((24, 32, 3), np.uint8)
    half[:, :16] = 255
    lying = encoded_picture(half)
    at = lying.index(b"tkhd") + 44  # behind version, times, track, duration, layer and volume
    turned = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    matrix = b"".join(number.to_bytes(4, "big", signed=True) for number in turned)
    upright = lying[:at] + matrix + lying[at + 36 :]

    values = reader(num_frames=2).decode(upright)[0, 0].int()

    assert values[0].min() > 200
    assert values[-1].max() < 50


def encoded_picture(pixels: np.ndarray) -> bytes:
    """A video of one frame."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width = pixels.shape[:2]
        stream.pix_fmt = "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def test_the_spec_says_the_shape_and_the_most_frames():
    spec = reader(size=[6, 8], channels=1).fit([])

    assert spec == SignalSpec("video", "video", shape=(1, 6, 8), length=4)


def test_whatever_changes_the_frames_changes_the_recipe_of_their_cache():
    changed = [
        {},
        {"num_frames": 3},
        {"fps": 2.0},
        {"clips": 2},
        {"min_frames": 2},
        {"size": 9},
        {"resize": "crop"},
        {"max_frames": 9},
        {"max_seconds": 9.0},
    ]

    assert len({reader(**arguments).recipe() for arguments in changed}) == len(changed)


def test_a_restored_reader_reads_alike():
    other = VideoReader("video")
    other.restore(reader().fit([]))

    assert torch.equal(other.decode(MP4), reader().decode(MP4))
    with pytest.raises(ValueError, match=r"is not \[3, height, width\]"):
        other.restore(SignalSpec("video", "video", shape=(1, 8, 8), length=4))


@pytest.mark.parametrize(("form", "codec"), [("mp4", "libx264"), ("webm", "libvpx"), ("avi", "mpeg4")])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.95, 0.999])
def test_a_truncated_file_is_refused(form: str, codec: str, share: float):
    """Frames that are not there are not made up."""
    data = encoded(form, codec)

    with pytest.raises(ValueError, match=r"truncated video|damaged video|no MP4"):
        reader().decode(data[: int(share * len(data))])


@pytest.mark.parametrize(
    ("data", "arguments", "message"),
    [
        (b"", {}, "the file is empty"),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://localhost/a.ts\n", {}, r"no MP4, .* video: it begins with b'#EXTM3U"),
        (b"ffconcat version 1.0\nfile '/etc/passwd'\n", {}, "no MP4"),
        (b"\x00\x00\x00\x18ftypisom" + bytes(12), {}, "damaged video|holds no video"),
        (b"\x00\x00\x00\x04ftyp" + bytes(12), {}, "damaged video: a box of 4 bytes"),
        (b"\x00\x00\x00\x08free" * 100_001, {}, "more than 100,000 parts"),
        (b"\x1aE\xdf\xa3\x00" + bytes(9), {}, "damaged video: an element without a size"),
        (png(0), {}, "no MP4"),
        (gif()[:200], {}, "damaged video"),
        (MP4, {"max_pixels": 767}, r"32 x 24 pixels are more than `max_pixels` \(=767\)"),
        (gif(), {"max_pixels": 767}, r"32 x 24 pixels are more than `max_pixels` \(=767\)"),
        (MP4, {"max_frames": 11}, r"more than `max_frames` \(=11\) frames"),
        (gif(), {"max_frames": 11}, r"more than `max_frames` \(=11\) frames"),
        (MP4, {"max_seconds": 1.1}, r"lasts 1.2 s, more than `max_seconds` \(=1.1\)"),
        (encoded(greys=GREYS[:2], times=[0, 10**6]), {}, "lasts 200,000.0 s, more than"),
        (MP4, {"max_bytes": 100}, r"more than `max_bytes` \(=100\)"),
        ("clip.mp4", {}, "expected the content of a file"),
        ((None, None), {}, "all pictures of the row are blank"),
        ((b"no picture", None), {}, "no JPEG"),
        (encoded("avi", "flv"), {}, "a video in flv1; one of av1, "),
    ],
)
def test_what_is_no_sound_video_is_refused(data: object, arguments: dict, message: str):
    with pytest.raises(ValueError, match=message) as caught:
        reader(**arguments).decode(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [MP4, encoded("webm", "libvpx"), gif()], ids=["mp4", "webm", "gif"])
def test_changed_bytes_give_frames_or_a_message(data: bytes):
    """Of a hundred files with three bytes changed, none ends in any other error."""
    draw = random.Random(0)
    for _ in range(100):
        damaged = bytearray(data)
        for _ in range(3):
            damaged[draw.randrange(len(data))] = draw.randrange(256)
        try:
            assert reader().decode(bytes(damaged)).shape == (4, 3, 8, 8)
        except ValueError as error:
            assert "\n" not in str(error)  # noqa: PT017  # either outcome is sound


def test_a_file_without_pictures_is_no_video():
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())

    with pytest.raises(ValueError, match="the file holds no video"):
        reader().decode(file.getvalue())


def test_without_pyav_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "av", None)

    with pytest.raises(ConfigError, match=r"pip install 'mmtrain\[video\]'"):
        reader().decode(MP4)

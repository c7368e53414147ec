"""The frames of a video file in memory, by PyAV (FFmpeg): MP4, MOV, Matroska, WebM, AVI; and GIF, by Pillow.

The first bytes choose the demuxer, so that a playlist or any other format which names further files is never opened;
should a demuxer ask for one all the same, it is refused. What the file claims to hold is held against the bytes that
are there, and against the limits, before a frame is decoded.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Protocol

from PIL import Image

from mmtrain.errors import ConfigError

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer

CODECS = {
    *("h264", "hevc", "av1", "vp8", "vp9", "mpeg4", "h263", "mpeg1video", "mpeg2video", "mjpeg", "theora", "prores"),
    *("msmpeg4v2", "msmpeg4v3", "wmv1", "wmv2", "rawvideo", "ffv1", "dvvideo"),
}
_ROUNDING = 1e-6  # seconds
_BOXES = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"}  # what an MP4 or MOV file may begin with
_MOST_PARTS = 100_000  # on the outermost level of a file; a recording in fragments has two for each
_MATROSKA = b"\x1aE\xdf\xa3"


class Limits(NamedTuple):
    """What a video may have at most."""

    pixels: int  # of one frame
    frames: int
    seconds: float


class Clip(Protocol):
    """A video that has been opened: how long it is, of how many frames, and what shows when."""

    seconds: float
    frames: int

    def pick(self, moments: Sequence[float]) -> Iterator[Image.Image]:
        """The frame that shows at each of the moments, seconds from its start in ascending order."""


def open_clip(data: bytes, limits: Limits) -> Clip:
    """Reads the times of all frames, and decodes none.

    Raises:
        ValueError: No video of a known format, a damaged or truncated one, or one beyond the limits.
        ConfigError: PyAV is not installed.
    """
    if data[:4] == b"GIF8":
        return _Gif(data, limits)
    if data[4:8] in _BOXES:
        demuxer, promised = "mov", _end_of_boxes(data)
    elif data[:4] == _MATROSKA:
        demuxer, promised = "matroska", _end_of_elements(data)
    elif data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        demuxer, promised = "avi", int.from_bytes(data[4:8], "little") + 8
    else:
        raise ValueError(f"no MP4, MOV, Matroska, WebM, AVI or GIF video: it begins with {data[:8]!r}")
    if promised > len(data):
        raise ValueError(f"truncated video: it promises {promised:,} bytes, {len(data):,} are there")
    return _Container(data, demuxer, limits)


class _Container:
    def __init__(self, data: bytes, demuxer: str, limits: Limits) -> None:
        try:
            import av
        except ImportError:
            raise ConfigError("videos need PyAV, which is not installed: pip install 'mmtrain[video]'") from None
        self._error = av.FFmpegError
        self._data, self._demuxer, self._limits = data, demuxer, limits
        try:
            with self._open() as container:
                self._times = self._read_times(container)
        except self._error as error:
            raise ValueError(f"damaged video: {error.strerror}") from None
        self.seconds, self.frames = _span(self._times, limits), len(self._times)

    def pick(self, moments: Sequence[float]) -> Iterator[Image.Image]:
        last: VideoFrame | None = None
        start = now = 0.0
        place = 0
        try:
            with self._open() as container:
                for number, frame in enumerate(container.decode(video=0)):
                    before = now
                    seconds = self._times[min(number, len(self._times) - 1)] if frame.time is None else frame.time
                    start = seconds if last is None else start
                    now = max(before, seconds - start)
                    while last is not None and place < len(moments) and moments[place] < now - _ROUNDING:
                        yield self._image(last)
                        place += 1
                    if place == len(moments):
                        return
                    last = frame
                if last is None or self.seconds - now > 3 * self.seconds / len(self._times):
                    raise ValueError(f"damaged video: decoding ends at {now:.1f} s of {self.seconds:.1f} s")
                for _ in moments[place:]:
                    yield self._image(last)
        except self._error as error:
            raise ValueError(f"damaged video at {now:.1f} s: {error.strerror}") from None

    def _open(self) -> InputContainer:
        import av

        data = io.BytesIO(self._data)
        container = av.open(data, "r", format=self._demuxer, metadata_errors="replace", io_open=_refuse)
        for stream in container.streams.video:
            stream.thread_type = "NONE"  # data workers are the threads
        return container

    def _read_times(self, container: InputContainer) -> list[float]:
        """When each frame shows, in seconds, ascending."""
        if not container.streams.video:
            raise ValueError("the file holds no video")
        stream = container.streams.video[0]
        codec = stream.codec_context
        if codec is None or codec.codec.canonical_name not in CODECS:
            name = "an unknown codec" if codec is None else codec.codec.canonical_name
            raise ValueError(f"a video in {name}; one of {', '.join(sorted(CODECS))} is read")
        _check_pixels(codec.width, codec.height, self._limits)
        times = []
        for packet in container.demux(stream):
            moment = packet.dts if packet.pts is None else packet.pts
            if packet.size and moment is not None:
                times.append(float(moment * packet.time_base))
            if len(times) > self._limits.frames:
                raise ValueError(f"the video has more than `max_frames` (={self._limits.frames:,}) frames")
        return sorted(times)

    def _image(self, frame: VideoFrame) -> Image.Image:
        _check_pixels(frame.width, frame.height, self._limits)  # it may change on the way
        image = Image.fromarray(frame.to_ndarray(format="rgb24"))
        return image.rotate(frame.rotation, expand=True) if frame.rotation else image  # held upright, as phones note


class _Gif:
    def __init__(self, data: bytes, limits: Limits) -> None:
        _check_pixels(int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little"), limits)
        self._image = Image.open(io.BytesIO(data), formats=("GIF",))
        self._starts: list[float] = []
        self.seconds = 0.0
        for number in range(limits.frames + 1):
            try:
                self._image.seek(number)
            except EOFError:
                break
            self._starts.append(self.seconds)
            self.seconds = round(self.seconds + (self._image.info.get("duration") or 100) / 1000, 6)  # 0: as browsers
        self.frames = len(self._starts)
        _refuse_more(self.frames, self.seconds, limits)

    def pick(self, moments: Sequence[float]) -> Iterator[Image.Image]:
        for moment in moments:
            self._image.seek(bisect_right(self._starts, moment) - 1)
            yield self._image.copy()


def _check_pixels(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.pixels:
        raise ValueError(f"{width} x {height} pixels are more than `max_pixels` (={limits.pixels:,})")
    if width * height < 1:
        raise ValueError("damaged video: its frames have no pixels")


def _span(times: Sequence[float], limits: Limits) -> float:
    """From the first frame to the end of the last, which shows as long as the others do on average."""
    if not times:
        raise ValueError("the video has no frames")
    between = times[-1] - times[0]
    seconds = round(between + between / (len(times) - 1), 6) if len(times) > 1 else 0.0
    _refuse_more(len(times), seconds, limits)
    return seconds


def _refuse_more(frames: int, seconds: float, limits: Limits) -> None:
    if frames > limits.frames:
        raise ValueError(f"the video has more than `max_frames` (={limits.frames:,}) frames")
    if seconds > limits.seconds:
        raise ValueError(f"the video lasts {seconds:,.1f} s, more than `max_seconds` (={limits.seconds:g})")


def _refuse(url: str, flags: int, options: object) -> NoReturn:
    raise ValueError(f"the video wants to open another file, {url[:80]!r}")


def _end_of_boxes(data: bytes) -> int:
    """Where the last box of an MP4 or MOV file ends, as it says. ISO/IEC 14496-12, 4.2."""
    at = 0
    for _ in range(_MOST_PARTS):
        if at + 8 > len(data):
            return at
        size, header = int.from_bytes(data[at : at + 4], "big"), 8
        if size == 1:
            size, header = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        if size == 0:  # up to the end of the file
            return len(data)
        if size < header:
            raise ValueError(f"damaged video: a box of {size} bytes at byte {at:,}")
        at += size
    raise ValueError(f"damaged video: it has more than {_MOST_PARTS:,} parts")


def _end_of_elements(data: bytes) -> int:
    """Where the last top element of a Matroska file ends, as it says. RFC 8794, sections 4 to 6."""
    at = 0
    for _ in range(_MOST_PARTS):
        if at + 2 > len(data):
            return at
        at += _vint_length(data[at])
        if at >= len(data):
            return at + 1
        length = _vint_length(data[at])
        size = int.from_bytes(data[at : at + length], "big") & (2 ** (7 * length) - 1)
        if size == 2 ** (7 * length) - 1:  # unknown, as in a live recording
            return len(data)
        at += length + size
    raise ValueError(f"damaged video: it has more than {_MOST_PARTS:,} parts")


def _vint_length(first: int) -> int:
    if not first:
        raise ValueError("damaged video: an element without a size")
    return 9 - first.bit_length()

"""Sound files: the content of a WAV, FLAC, Ogg (Vorbis, Opus) or MP3 file to samples, and samples to a WAV file.

WAV is decoded here, because libsndfile reads a truncated file without a word and has had holes in its ADPCM decoders:
a header is held against the bytes that are there, and only PCM and float are read. The other formats go to libsndfile.
"""

from __future__ import annotations

import io
import struct
import wave
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mmtrain.largefile import Content, LargeFile

if TYPE_CHECKING:
    from typing_extensions import Buffer

MAX_CHANNELS = 32
_OGG_PAGE = 65_307  # bytes at most, RFC 3533
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_WAV_TYPES = {
    (_PCM, 8): "u1",
    (_PCM, 16): "<i2",
    (_PCM, 24): "u1",  # three bytes a sample
    (_PCM, 32): "<i4",
    (_FLOAT, 32): "<f4",
    (_FLOAT, 64): "<f8",
}


Samples = NDArray[np.float32]
Cut = Callable[[int, int], tuple[int, int]]
"""What to read of a sound of so many samples a channel at such a rate: the first sample, and how many."""


def read_sound(data: Content, cut: Cut) -> tuple[Samples, int]:
    """Samples [T,channels] of the part that `cut` chooses, and their rate.

    Raises:
        ValueError: No sound of a known format, or a truncated or damaged one.
    """
    data = _without_tag(data)
    return _wav(data, cut) if _is_wav(data) else _libsndfile(data, cut)


def sound_length(data: Content) -> tuple[int, int]:
    """Samples a channel and their rate, from the header alone.

    Raises:
        ValueError: As of `read_sound`, so far as a header tells.
    """
    header = (0, 0)

    def nothing(frames: int, rate: int) -> tuple[int, int]:
        nonlocal header
        header = frames, rate
        return 0, 0

    read_sound(data, nothing)
    return header


def _is_wav(data: Content) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WAVE"


def _without_tag(data: Content) -> Content:
    """Drops ID3 tags, which may stand before any format: what follows one is judged as if it stood alone."""
    while data[:3] == b"ID3" and len(data) > 10:
        high, mid, low, last = data[6:10]
        data = data[10 + (high << 21 | mid << 14 | low << 7 | last) :]
    return data


def _wav(data: Content, cut: Cut) -> tuple[Samples, int]:
    """As `read_sound`."""
    header, at = b"", 12
    while at + 8 <= len(data):
        chunk, size, start = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little"), at + 8
        if chunk == b"data":
            break
        if chunk == b"fmt ":
            header = data[start : start + size]
        at = start + size + size % 2
    else:
        raise ValueError("truncated WAV: it ends before its samples begin")
    if len(header) < 16:
        raise ValueError("damaged WAV: no format stands before its samples")
    if start + size > len(data):
        raise ValueError(f"truncated WAV: its header promises {size:,} bytes of sound, {len(data) - start:,} are there")
    tag, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", header)
    if tag == _EXTENSIBLE and len(header) >= 26:
        tag = int.from_bytes(header[24:26], "little")
    if (tag, bits) not in _WAV_TYPES:
        readable = "PCM of 8, 16, 24 or 32 bits and float of 32 or 64 are read"
        raise ValueError(f"WAV with format tag {tag:#x} at {bits} bits; only {readable}")
    if not 1 <= channels <= MAX_CHANNELS or not rate or block != channels * bits // 8:
        raise ValueError(f"damaged WAV: {channels} channels of {bits} bits at {rate} Hz in blocks of {block} bytes")
    first, frames = cut(size // block, rate)
    begin = start + first * block
    raw = np.frombuffer(data[begin : begin + frames * block], "u1")
    stored: NDArray[np.generic]
    stored, full = raw.view(_WAV_TYPES[tag, bits]), 1 if tag == _FLOAT else 2 ** (bits - 1)  # full: the loudest value
    if bits == 8:
        stored = raw.view("i1") ^ np.int8(-128)  # these bytes alone are unsigned, with silence at 128
    elif bits == 24:
        wide = np.zeros((frames * channels, 4), "u1")
        wide[:, 1:] = raw.reshape(-1, 3)  # little endian: the low byte is the added one
        stored, full = wide.view("<i4"), 2**31
    with np.errstate(over="ignore", invalid="ignore"):  # the reader refuses what is not finite
        values = stored.astype(np.float32) / np.float32(full)
    return values.reshape(frames, channels), rate


def _libsndfile(data: Content, cut: Cut) -> tuple[Samples, int]:
    """As `_wav`, for FLAC, Ogg and MP3: known by their first bytes, before libsndfile chooses a decoder itself."""
    if not (data[:4] in (b"fLaC", b"OggS") or (data[:1] == b"\xff" and data[1:2] >= b"\xe0")):
        raise ValueError(f"no WAV, FLAC, Ogg or MP3 sound: it begins with {data[:8]!r}")
    if data[:4] == b"OggS" and not _ogg_ends(data):
        raise ValueError("truncated Ogg: its last page is not marked as the end")
    import soundfile  # loads libsndfile

    try:
        with soundfile.SoundFile(_Opened(data) if isinstance(data, LargeFile) else io.BytesIO(data)) as file:
            if file.format not in ("FLAC", "OGG", "MP3") or file.channels > MAX_CHANNELS:
                raise ValueError(f"{file.format} with {file.channels} channels is not read")
            rate = int(file.samplerate)
            first, frames = cut(int(file.frames), rate)
            file.seek(first)
            samples = np.asarray(file.read(frames, dtype="float32", always_2d=True), dtype=np.float32)
            exact = file.format != "OGG"  # the length in its header may be some samples off in a sound file
    except soundfile.LibsndfileError as error:
        raise ValueError(f"damaged sound: {error.error_string}") from None
    if exact and len(samples) < frames:
        raise ValueError(f"truncated sound: {frames:,} samples announced, {len(samples):,} are there")
    return samples, rate


class _Opened(io.RawIOBase):
    """A large file as libsndfile reads one."""

    def __init__(self, data: LargeFile) -> None:
        self._data, self._at = data, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._data)}[whence]
        return self._at

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        part = self._data[self._at : self._at + len(view)]
        view[: len(part)] = part
        self._at += len(part)
        return len(part)


def _ogg_ends(data: Content) -> bool:
    """Whether the last page is whole and the end of its stream; libsndfile takes what is there for the whole."""
    end = data[-_OGG_PAGE:] if len(data) > _OGG_PAGE else data[:]
    page = end[end.rfind(b"OggS") :]
    table = page[27 : 27 + page[26]] if len(page) > 27 else b""
    return bool(table) and bool(page[5] & 4) and len(page) >= 27 + len(table) + sum(table)


def encode(samples: NDArray[np.floating], rate: int) -> bytes:
    """A WAV file (16 bit, mono) of samples [T] from -1 to 1; what is louder is clipped."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.clip(np.rint(samples * 32767), -32768, 32767).astype("<i2").tobytes())
    return buffer.getvalue()

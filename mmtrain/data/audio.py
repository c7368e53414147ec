"""Audio reader: the content of a WAV, FLAC, Ogg (Vorbis, Opus) or MP3 file to mono samples at one rate.

WAV is decoded here, because libsndfile reads a truncated file without a word and has had holes in its ADPCM decoders:
a header is held against the bytes that are there, and only PCM and float are read. The other formats go to libsndfile.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmtrain.contracts import Cell, Range, SignalSpec
from mmtrain.data.media import content
from mmtrain.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

MAX_CHANNELS = 32
MAX_KERNEL = 20_000_000  # numbers in the kernel of a resampler: 80 MB
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_WAV_TYPES = {
    (_PCM, 8): "u1",
    (_PCM, 16): "<i2",
    (_PCM, 24): "u1",  # three bytes a sample
    (_PCM, 32): "<i4",
    (_FLOAT, 32): "<f4",
    (_FLOAT, 64): "<f8",
}


class AudioReader:
    """Reads a sound as [T] float32 samples, the mean of its channels, T at most `sample_rate` * `seconds`.

    The window is the start of the file, in training and evaluation alike; what follows is never decoded.

    Args:
        name: The modality's name.
        sample_rate: In Hz; files of another rate are resampled.
        seconds: The longest sound kept.
        max_bytes: A file with more is refused.

    Raises:
        ValueError: The window holds fewer than two samples.
    """

    kind = "audio"

    def __init__(
        self,
        name: str,
        *,
        sample_rate: Annotated[int, Range(100, 192_000)] = 16_000,
        seconds: Annotated[float, Range(0, 3600, above=True)] = 1.0,
        max_bytes: Annotated[int, Range(1)] = 500_000_000,
    ) -> None:
        self.name = name
        self.sample_rate = sample_rate
        self.length = round(sample_rate * seconds)
        self.max_bytes = max_bytes
        if self.length < 2:
            raise ValueError(f"`seconds` (={seconds}) at {sample_rate} Hz is less than two samples.")

    def fit(self, cells: Iterable[Cell]) -> SignalSpec:
        """Says the rate and the longest length; needs no look at the data."""
        return SignalSpec(self.name, self.kind, length=self.length, sample_rate=self.sample_rate)

    def restore(self, spec: SignalSpec) -> None:
        """Takes the rate and the length of `spec`.

        Raises:
            ValueError: It has no sample rate.
        """
        if spec.sample_rate < 1:
            raise ValueError(f"the sample rate of `{self.name}` is {spec.sample_rate} Hz")
        self.sample_rate, self.length = spec.sample_rate, spec.length

    def decode(self, cell: Cell) -> Tensor:
        """The first `seconds` of the sound: [T].

        Raises:
            ValueError: No sound of a known format, an empty, truncated or damaged one, or samples that are not finite.
            ConfigError: The file needs resampling and torchaudio cannot be imported.
        """
        data = _without_tag(content(cell, max_bytes=self.max_bytes))
        decode = _wav if data[:4] == b"RIFF" and data[8:12] == b"WAVE" else _libsndfile
        samples, rate = decode(data, self.length / self.sample_rate)  # [T,channels]
        if not len(samples):
            raise ValueError("the sound has no samples")
        with np.errstate(over="ignore", invalid="ignore"):
            mono = samples.mean(axis=1, dtype=np.float32)  # [T]
        if not np.isfinite(mono).all():
            raise ValueError("the sound holds samples that are nan or infinite")
        values = torch.from_numpy(mono)
        if rate != self.sample_rate:
            values = _resampler(rate, self.sample_rate)(values)
        return values[: self.length]

    def finish(self, values: Tensor) -> Tensor:
        """The samples as they are."""
        return values


def _without_tag(data: bytes) -> bytes:
    """Drops ID3 tags, which may stand before any format: what follows one is judged as if it stood alone."""
    while data[:3] == b"ID3" and len(data) > 10:
        high, mid, low, last = data[6:10]
        data = data[10 + (high << 21 | mid << 14 | low << 7 | last) :]
    return data


def _wav(data: bytes, seconds: float) -> tuple[NDArray[np.float32], int]:
    """Samples [T,channels] of the first `seconds`, and their rate."""
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
    frames = min(size // block, math.ceil(seconds * rate))
    raw = np.frombuffer(data, "u1", frames * block, start)
    stored: NDArray[np.generic]
    stored, full = raw.view(_WAV_TYPES[tag, bits]), 1 if tag == _FLOAT else 2 ** (bits - 1)  # full: the loudest value
    if bits == 8:
        stored = raw.view("i1") ^ np.int8(-128)  # these bytes alone are unsigned, with silence at 128
    elif bits == 24:
        wide = np.zeros((frames * channels, 4), "u1")
        wide[:, 1:] = raw.reshape(-1, 3)  # little endian: the low byte is the added one
        stored, full = wide.view("<i4"), 2**31
    with np.errstate(over="ignore", invalid="ignore"):  # `read` refuses what is not finite, by its own message
        values = stored.astype(np.float32) / np.float32(full)
    return values.reshape(frames, channels), rate


def _libsndfile(data: bytes, seconds: float) -> tuple[NDArray[np.float32], int]:
    """As `_wav`, for FLAC, Ogg and MP3: known by their first bytes, before libsndfile chooses a decoder itself."""
    if not (data[:4] in (b"fLaC", b"OggS") or (data[:1] == b"\xff" and data[1:2] >= b"\xe0")):
        raise ValueError(f"no WAV, FLAC, Ogg or MP3 sound: it begins with {data[:8]!r}")
    if data[:4] == b"OggS" and not _ogg_ends(data):
        raise ValueError("truncated Ogg: its last page is not marked as the end")
    import soundfile  # loads libsndfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            if file.format not in ("FLAC", "OGG", "MP3") or file.channels > MAX_CHANNELS:
                raise ValueError(f"{file.format} with {file.channels} channels is not read")
            rate = int(file.samplerate)
            frames = min(int(file.frames), math.ceil(seconds * rate))
            samples = np.asarray(file.read(frames, dtype="float32", always_2d=True), dtype=np.float32)
            exact = file.format != "OGG"  # the length in its header may be some samples off in a sound file
    except soundfile.LibsndfileError as error:
        raise ValueError(f"damaged sound: {error.error_string}") from None
    if exact and len(samples) < frames:
        raise ValueError(f"truncated sound: {frames:,} samples announced, {len(samples):,} are there")
    return samples, rate


def _ogg_ends(data: bytes) -> bool:
    """Whether the last page is whole and the end of its stream; libsndfile takes what is there for the whole."""
    page = data[data.rfind(b"OggS") :]
    table = page[27 : 27 + page[26]] if len(page) > 27 else b""
    return bool(table) and bool(page[5] & 4) and len(page) >= 27 + len(table) + sum(table)


@lru_cache(maxsize=8)
def _resampler(source: int, target: int) -> nn.Module:
    """A windowed-sinc resampler, its kernel computed once for each rate."""
    step = math.gcd(source, target)
    if (source // step) * (target // step) > MAX_KERNEL:
        raise ValueError(f"a rate of {source} Hz cannot be brought to {target} Hz; convert the file to a common rate")
    try:
        from torchaudio.transforms import Resample
    except (ImportError, OSError, RuntimeError) as error:
        raise ConfigError(
            f"resampling from {source} to {target} Hz needs torchaudio, whose import fails ({error}); "
            "install the one made for your torch, or use files of one rate."
        ) from None
    resampler: nn.Module = Resample(source, target)
    return resampler

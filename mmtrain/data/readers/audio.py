"""Audio reader: the content of a sound file to mono samples at one rate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from importlib import metadata
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from mmtrain import seeding
from mmtrain.contracts import Cell, Range, SignalSpec
from mmtrain.data.readers.media import measured
from mmtrain.data.readers.sound import read_sound, sound_length
from mmtrain.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

MAX_KERNEL = 20_000_000  # numbers in the kernel of a resampler: 80 MB
MAX_SECONDS = 600  # decoded of one sound where the window is drawn at random

Window = Literal["start", "centre", "random"]


class AudioReader:
    """Reads a sound as [T] float32 samples, the mean of its channels, T at most `sample_rate` * `seconds`.

    Of a longer sound a window is kept; what lies outside of it is not decoded, unless the window is drawn at random.

    Args:
        name: The modality's name.
        sample_rate: In Hz; files of another rate are resampled.
        seconds: The longest sound kept.
        window: Which part of a longer one: its start, its centre, or in training one drawn at random, from the first
            ten minutes, while evaluation takes the centre of them.
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
        window: Window = "start",
        max_bytes: Annotated[int, Range(1)] = 500_000_000,
    ) -> None:
        self.name = name
        self.sample_rate = sample_rate
        self.length = round(sample_rate * seconds)
        self.window = window
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
        """The window of the sound, or all that it is drawn from: [T].

        Raises:
            ValueError: No sound of a known format, an empty, truncated or damaged one, or samples that are not finite.
            ConfigError: The file needs resampling and torchaudio cannot be imported.
        """
        samples, rate = read_sound(measured(cell, max_bytes=self.max_bytes), self._cut)  # [T,channels]
        if not len(samples):
            raise ValueError("the sound has no samples")
        with np.errstate(over="ignore", invalid="ignore"):
            mono = samples.mean(axis=1, dtype=np.float32)  # [T]
        if not np.isfinite(mono).all():
            raise ValueError("the sound holds samples that are nan or infinite")
        values = torch.from_numpy(mono)
        if rate != self.sample_rate:
            values = _resampler(rate, self.sample_rate)(values)
        return values if self.window == "random" else values[: self.length]

    def vary(self, values: Tensor, key: int) -> Tensor:
        """A window at random, where `window` says so: [T]."""
        spare = len(values) - self.length
        if spare <= 0:
            return values
        start = int(torch.randint(spare + 1, (), generator=seeding.generator(key, "window")))
        return values[start : start + self.length]

    def finish(self, values: Tensor) -> Tensor:
        """The samples as they are; the centre of those that are more than the window."""
        start = max(0, len(values) - self.length) // 2
        return values[start : start + self.length]

    def measure(self, cell: Cell) -> int:
        """Samples that are kept of the sound, by its header."""
        frames, rate = sound_length(measured(cell, max_bytes=self.max_bytes))
        return min(self.length, math.ceil(frames * self.sample_rate / rate))

    def recipe(self) -> str:
        """Rate, length and limit, and the versions of what decodes and resamples."""
        libraries = ", ".join(f"{name} {metadata.version(name)}" for name in ("soundfile", "torchaudio"))
        window = f"{self.length} samples, window {self.window}"
        return f"{self.sample_rate} Hz, {window}; at most {self.max_bytes} bytes; {libraries}"

    def _cut(self, frames: int, rate: int) -> tuple[int, int]:
        """What to decode of a sound of so many samples at its own rate."""
        seconds = self.length / self.sample_rate
        if self.window == "random":
            seconds = max(seconds, MAX_SECONDS)
        kept = min(frames, math.ceil(seconds * rate))
        return ((frames - kept) // 2 if self.window == "centre" else 0), kept


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

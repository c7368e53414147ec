"""Video reader: a file, an animated GIF or several pictures to a sequence of frames of one size.

Frames are taken where they show, by time and not by number, so that a video of varying rate is read alike. A file is
decoded from its start to the last frame wanted. Sound is not read.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from typing import Annotated, Literal

import torch
from torch import Tensor

from mmtrain import seeding
from mmtrain.contracts import Cell, Range, SignalSpec
from mmtrain.data.readers.container import Limits, open_clip
from mmtrain.data.readers.image import BROKEN, ImageReader
from mmtrain.data.readers.media import content


class VideoReader:
    """Reads a video as [F,C,H,W] float32, F at most `num_frames`, normalised as pictures are.

    Of several pictures, the columns of a row, each is a frame; blank ones are left out.

    Args:
        name: The modality's name.
        num_frames: Frames of a sample; of more pictures than these, as many are taken evenly.
        fps: Frames a second, from the start, at most `num_frames`; None: `num_frames` evenly over the whole video, each
            from the middle of its part. A short video then shows some of its frames twice.
        min_frames: A video with fewer is refused. Where a picture stands still, some formats keep it as one frame.
        clips: Samples of `num_frames` that an evaluation takes of each video; training takes one of them at random.
            With `fps` they start evenly spread and may overlap, and a video shorter than one shows its last frame
            several times; without, the video is cut into as many equal parts. Not for several pictures a row.
        size: Side in pixels, or [height, width].
        channels: As for pictures, see ImageReader.
        resize: As for pictures.
        mean: As for pictures.
        std: As for pictures.
        max_pixels: A video whose frames have more is refused before it is decoded.
        max_frames: A video with more frames is refused before it is decoded.
        max_seconds: A longer video is refused before it is decoded.
        max_bytes: A file with more is refused.

    Raises:
        ValueError: `size`, `mean` or `std` is no legal value.
    """

    kind = "video"

    def __init__(
        self,
        name: str,
        *,
        num_frames: Annotated[int, Range(2, 10_000)] = 8,
        fps: Annotated[float, Range(0, 1000, above=True)] | None = None,
        min_frames: Annotated[int, Range(1)] = 1,
        clips: Annotated[int, Range(1, 100)] = 1,
        size: Annotated[int, Range(1, 4096)] | list[int] = 64,
        channels: Literal[1, 3] = 3,
        resize: Literal["squash", "crop", "pad"] = "squash",
        mean: float | list[float] = 0.5,
        std: float | list[float] = 0.5,
        max_pixels: Annotated[int, Range(1)] = 10_000_000,
        max_frames: Annotated[int, Range(1)] = 20_000,
        max_seconds: Annotated[float, Range(0, above=True)] = 600.0,
        max_bytes: Annotated[int, Range(1)] = 500_000_000,
    ) -> None:
        self._pictures = ImageReader(
            name,
            size=size,
            channels=channels,
            resize=resize,
            mean=mean,
            std=std,
            max_pixels=max_pixels,
            max_bytes=max_bytes,
        )
        self.name = name
        self.num_frames = num_frames
        self.fps = fps
        self.min_frames = min_frames
        self.clips = clips
        self.resize = resize
        self.max_bytes = max_bytes
        self._limits = Limits(max_pixels, max_frames, max_seconds)

    def fit(self, cells: Iterable[Cell]) -> SignalSpec:
        """Says the shape; needs no look at the data."""
        shape = self._pictures.fit(()).shape
        return SignalSpec(self.name, self.kind, shape=shape, length=self.num_frames)

    def restore(self, spec: SignalSpec) -> None:
        """Takes size and number of frames of `spec`.

        Raises:
            ValueError: Its shape is not that of frames with `channels` channels.
        """
        self._pictures.restore(spec)
        self.num_frames = spec.length

    def decode(self, cell: Cell) -> Tensor:
        """The frames at their final size: [F,C,H,W] uint8; those of all clips, one clip after another.

        Raises:
            ValueError: No video or picture of a known format, a damaged one, or one beyond the limits.
            ConfigError: PyAV is not installed.
        """
        if isinstance(cell, tuple):
            if self.clips > 1:
                raise ValueError(
                    f"`clips` (={self.clips}) are cut out of video files, and the row has several pictures"
                )
            pictures = [part for part in cell if part is not None]
            if not pictures:
                raise ValueError("all pictures of the row are blank")
            if len(pictures) > self.num_frames:
                pictures = [pictures[int(part * len(pictures))] for part in self._middles()]
            return torch.stack([self._pictures.decode(picture) for picture in pictures])
        try:
            clip = open_clip(content(cell, max_bytes=self.max_bytes), self._limits)
            if clip.frames < self.min_frames:
                raise ValueError(f"the video has {clip.frames} frames, fewer than `min_frames` (={self.min_frames})")
            moments = self._moments(clip.seconds)
            distinct = sorted(set(moments))  # clips may overlap
            seen = dict(zip(distinct, map(self._pictures.fitted, clip.pick(distinct)), strict=True))
            return torch.stack([seen[moment] for moment in moments])
        except ValueError:
            raise
        except BROKEN as error:  # of Pillow, for a GIF
            raise ValueError(f"damaged video: {error}") from None

    def pace(self, cell: Cell) -> float | None:
        """Frames a second of what `decode` gives: those of the video at its own speed; None of several pictures."""
        if isinstance(cell, tuple):
            return None
        if self.fps is not None:
            return self.fps
        seconds = open_clip(content(cell, max_bytes=self.max_bytes), self._limits).seconds
        return self.num_frames * self.clips / seconds if seconds else None

    def recipe(self) -> str:
        """What the decoding of pictures depends on, the frames taken, the limits, and the version of PyAV."""
        taken = f"{self.num_frames} frames" + (f" at {self.fps} a second" if self.fps is not None else "")
        taken += f" in each of {self.clips} clips" if self.clips > 1 else ""
        try:
            decoder = f"PyAV {metadata.version('av')}"
        except metadata.PackageNotFoundError:
            decoder = "no PyAV"
        frames, seconds = self._limits.frames, self._limits.seconds
        limits = f"{self.min_frames} to {frames} frames, at most {seconds} s"
        return f"{taken}; {limits}; {self._pictures.recipe()}; {decoder}"

    def _moments(self, seconds: float) -> list[float]:
        """When the frames to take show, in seconds; one at least."""
        if self.fps is None:
            return [(clip + part) * seconds / self.clips for clip in range(self.clips) for part in self._middles()]
        steps = [number / self.fps for number in range(self.num_frames)]
        steps = [step for step in steps if step < seconds or not step]
        if self.clips == 1:
            return steps
        steps += steps[-1:] * (self.num_frames - len(steps))  # so that all clips of a batch are of one length
        spare = max(0.0, seconds - self.num_frames / self.fps)
        return [clip * spare / (self.clips - 1) + step for clip in range(self.clips) for step in steps]

    def vary(self, values: Tensor, key: int) -> Tensor:
        """One of the clips at random: [F,C,H,W]."""
        if self.clips == 1:
            return values
        clip = int(torch.randint(self.clips, (), generator=seeding.generator(key, "clip")))
        return values.chunk(self.clips)[clip]

    def finish(self, values: Tensor) -> Tensor:
        """The frames as floats: [F,C,H,W] uint8 -> float32, (value in 0..1 - `mean`) / `std`."""
        return self._pictures.finish(values)

    def _middles(self) -> list[float]:
        """The middles of `num_frames` equal parts of 0..1."""
        return [(number + 0.5) / self.num_frames for number in range(self.num_frames)]

"""Image reader: the content of a JPEG, PNG, WebP, BMP or GIF to a normalised tensor, by Pillow.

The header decides whether a picture is decoded at all, so a small file that claims millions of pixels costs nothing.
EXIF orientation is applied, of an animation the first frame is taken, transparent parts show white, 16 bits become 8.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import numpy as np
import PIL
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from mmtrain.contracts import Cell, Range, SignalSpec
from mmtrain.data.readers.media import content

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")  # the others stay closed: EPS starts a program, TIFF and PSD had holes
BROKEN = (  # what Pillow raises on damaged files
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, struct.error, zlib.error
)  # fmt: skip


class ImageReader:
    """Reads a picture as [C,H,W] float32, (value in 0..1 - `mean`) / `std`.

    Args:
        name: The modality's name.
        size: Side in pixels, or [height, width]; None: as the training pictures are, which must then all be equal.
        channels: 3 for RGB, 1 for grey.
        resize: How a picture of another shape gets there: `squash` changes its proportions, `crop` cuts the middle
            out, `pad` puts it on a ground of `mean`.
        mean: One value for all channels, or one each.
        std: One value for all channels, or one each.
        max_pixels: A picture with more is refused before it is decoded.
        max_bytes: A file with more is refused.

    Raises:
        ValueError: `size`, `mean` or `std` is no legal value.
    """

    kind = "image"

    def __init__(
        self,
        name: str,
        *,
        size: Annotated[int, Range(1, 4096)] | list[int] | None = 64,
        channels: Literal[1, 3] = 3,
        resize: Literal["squash", "crop", "pad"] = "squash",
        mean: float | list[float] = 0.5,
        std: float | list[float] = 0.5,
        max_pixels: Annotated[int, Range(1)] = 50_000_000,
        max_bytes: Annotated[int, Range(1)] = 100_000_000,
    ) -> None:
        sides = [size, size] if isinstance(size, int) else size
        if sides is not None and (len(sides) != 2 or not all(1 <= side <= 4096 for side in sides)):
            raise ValueError(f"`size` (={size}) must be a side or [height, width], 1 to 4096 pixels each, or null.")
        self.name = name
        self.size = None if sides is None else (sides[0], sides[1])  # height, width
        self.channels = channels
        self.resize = resize
        self.max_pixels = max_pixels
        self.max_bytes = max_bytes
        self._mean = _per_channel("mean", mean, channels)  # [C,1,1]
        self._std = _per_channel("std", std, channels)
        if not bool((self._std > 0).all()):
            raise ValueError(f"`std` (={std}) must be above 0.")
        ground = [round(255 * min(max(value, 0.0), 1.0)) for value in self._mean.flatten().tolist()]
        self._ground = ground[0] if channels == 1 else tuple(ground)

    def fit(self, cells: Iterable[Cell]) -> SignalSpec:
        """Says the shape; looks at the training pictures only where `size` is None.

        Raises:
            ValueError: The pictures differ in size, or one cannot be opened.
        """
        if self.size is None:
            for cell in cells:
                width, height = self._open(cell).size
                self.size = self.size or (height, width)
                if self.size != (height, width):
                    raise ValueError(
                        f"the picture is {height} x {width} pixels (height x width), the first one "
                        f"{self.size[0]} x {self.size[1]}; choose one with `reader.{self.name}.size`"
                    )
        if self.size is None:
            raise ValueError(f"no training picture tells the size of `{self.name}`; set `reader.{self.name}.size`")
        return SignalSpec(self.name, self.kind, shape=(self.channels, *self.size))

    def restore(self, spec: SignalSpec) -> None:
        """Takes the size of `spec`.

        Raises:
            ValueError: Its shape is not that of a picture with `channels` channels.
        """
        if len(spec.shape) != 3 or spec.shape[0] != self.channels:
            raise ValueError(f"shape {list(spec.shape)} is not [{self.channels}, height, width]")
        self.size = spec.shape[1], spec.shape[2]

    def decode(self, cell: Cell) -> Tensor:
        """The picture at its final size: [C,H,W] uint8.

        Raises:
            ValueError: No picture of a known format, a damaged one, or one beyond the limits.
        """
        if self.size is None:
            raise ValueError("the reader has not been fitted")
        image = self._open(cell)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a damaged EXIF block next to sound pixels
                side = 2 * max(self.size)
                image.draft(None, (side, side))  # a large JPEG is decoded smaller, never below twice the wanted side
                ImageOps.exif_transpose(image, in_place=True)
                return self.fitted(image)
        except BROKEN as error:
            raise ValueError(f"damaged picture: {error}") from None

    def fitted(self, image: Image.Image) -> Tensor:
        """An opened picture of any mode at its final size: [C,H,W] uint8."""
        assert self.size is not None  # else there is nothing to fit it to
        height, width = self.size
        image = _flat(image, "RGB" if self.channels == 3 else "L")
        if image.size != (width, height):
            if self.resize == "crop":
                image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
            elif self.resize == "pad":
                image = ImageOps.pad(image, (width, height), Image.Resampling.BILINEAR, color=self._ground)
            else:
                image = image.resize((width, height), Image.Resampling.BILINEAR)
        values = torch.from_numpy(np.array(image)).view(height, width, self.channels)  # [H,W,C] uint8
        return values.permute(2, 0, 1).contiguous()  # [C,H,W]

    def finish(self, values: Tensor) -> Tensor:
        """The picture as floats: [C,H,W] uint8 -> float32, (value in 0..1 - `mean`) / `std`."""
        return values.float().div_(255).sub_(self._mean).div_(self._std)

    def recipe(self) -> str:
        """Shape, ground and limits, and the version of Pillow."""
        size = "x".join(map(str, (self.channels, *(self.size or ()))))
        limits = f"at most {self.max_pixels} pixels, {self.max_bytes} bytes"
        ground = f" on {self._ground}" if self.resize == "pad" else ""
        return f"{size}, {self.resize}{ground}; {limits}; Pillow {PIL.__version__}"

    def _open(self, cell: Cell) -> Image.Image:
        """Reads the header only."""
        data = content(cell, max_bytes=self.max_bytes)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            raise ValueError(f"the picture has more than `max_pixels` (={self.max_pixels:,}) pixels") from None
        except UnidentifiedImageError:
            raise ValueError(f"no {', '.join(FORMATS)} picture: it begins with {data[:8]!r}") from None
        except BROKEN as error:
            raise ValueError(f"damaged picture: {error}") from None
        width, height = image.size
        if width * height > self.max_pixels:
            raise ValueError(f"{width} x {height} pixels are more than `max_pixels` (={self.max_pixels:,})")
        return image


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """To 8 bits a channel without transparency."""
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion clips at 255
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert(mode)


def _per_channel(name: str, value: float | Sequence[float], channels: int) -> Tensor:
    values = list(value) if isinstance(value, Sequence) else [value] * channels
    if len(values) != channels:
        raise ValueError(f"`{name}` (={value}) must be one number or {channels}, one a channel.")
    return torch.tensor(values, dtype=torch.float32).view(channels, 1, 1)

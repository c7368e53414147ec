"""Small videos in memory: each frame is of one grey, so that one number tells which frame it is."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
from PIL import Image

GREYS = tuple(range(0, 240, 20))  # 12 frames


def encoded(
    form: str = "mp4",
    codec: str = "mpeg4",
    *,
    greys: Sequence[int] = GREYS,
    size: tuple[int, int] = (32, 24),
    rate: int = 10,
    times: Sequence[int] | None = None,
) -> bytes:
    """A video of `size` (width, height) with one frame a grey, `rate` a second, or at `times` / `rate` seconds."""
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for number, grey in enumerate(greys):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), grey, np.uint8), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def gif(greys: Sequence[int] = GREYS, milliseconds: Sequence[int] | int = 100) -> bytes:
    """An animation."""
    file = io.BytesIO()
    frames = [Image.new("L", (32, 24), grey) for grey in greys]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=milliseconds)
    return file.getvalue()

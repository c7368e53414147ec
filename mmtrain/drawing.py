"""Boxes that a model has found, for other programs and for people: COCO's JSON, and pictures or videos that show them.

A video is written by PyAV (FFmpeg) as MP4, which browsers play.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from mmtrain.contracts import Results
from mmtrain.data.dataset import Data
from mmtrain.errors import ConfigError
from mmtrain.offers import Locating, Paced
from mmtrain.precision import coco

_SMALLEST = 320  # pixels: smaller pictures are enlarged, so that labels can be read
_LEAST = 0.3  # of a score that is drawn; COCO's JSON holds all
_PACE = 5.0  # frames a second where the data does not tell
_SLOWEST = 1.0  # frames a second: of a long video few are read, and nobody waits minutes for the next
_CODECS = ("libx264", "libopenh264", "mpeg4")  # the first that this FFmpeg writes; the last is in all, H.264 not
_COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000")


def write_boxes(folder: Path, data: Data, task: Locating, results: Results, *, pictures: int) -> None:
    """Writes `coco.json` and a PNG or, of a video, an MP4 of the first rows into a folder.

    Sizes are those at which the model has seen the pictures. COCO counts each frame of a video as a picture. An MP4 has
    the frames that the reader takes, which are those with boxes, each shown until the next one was taken.

    Args:
        folder: Made where it is not there.
        data: Where the pictures are.
        task: Says whose boxes they are.
        results: Its outputs.
        pictures: Rows whose boxes are drawn.

    Raises:
        ConfigError: Videos are to be drawn, and PyAV is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    signal, found = data.spec.signals[task.anchor], task.boxes(results)
    height, width = signal.shape[1:]
    frames = [boxes[boxes[:, 6] == frame, :6] for boxes in found for frame in range(signal.length)]
    images = [
        {"id": row * signal.length + frame, "file_name": name, "frame": frame, "height": height, "width": width}
        for row, name in enumerate(results.ids)
        for frame in range(signal.length)
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(task.classes)]
    boxes = [{"id": number, **box} for number, box in enumerate(coco(frames, (height, width)), 1)]
    content = {"images": images, "categories": categories, "annotations": boxes}
    (folder / "coco.json").write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
    row_of = {name: row for row, name in enumerate(data.source.ids)}
    for place, name in enumerate(results.ids[:pictures]):
        values = data.decode(row_of[name], task.anchor)
        if values is not None:
            path = folder / f"{place:04d}_{re.sub('[^0-9A-Za-z._-]', '_', name)[:60]}"
            if values.dim() == 4:
                drawn = [_drawn(frame, found[place], at, task.classes) for at, frame in enumerate(values)]
                _write_video(path.with_name(f"{path.name}.mp4"), drawn, _pace(data, row_of[name], task.anchor))
            else:
                _drawn(values, found[place], 0, task.classes).save(path.with_name(f"{path.name}.png"))


def require_video_writer() -> None:
    """Raises ConfigError where videos cannot be written, before a model is asked for their boxes."""
    try:
        import av  # noqa: F401
    except ImportError:
        raise ConfigError(
            "drawing boxes into videos needs PyAV, which is not installed: pip install 'mmtrain[video]', or set "
            "pictures=0"
        ) from None


def _pace(data: Data, row: int, name: str) -> float:
    """Frames a second of what was decoded of a row."""
    reader, cell = data.readers[name], data.cell(row, name)
    told = reader.pace(cell) if cell is not None and isinstance(reader, Paced) else None
    return _PACE if told is None else max(told, _SLOWEST)


def _write_video(path: Path, frames: Sequence[Image.Image], pace: float) -> None:
    """Frames of one size as MP4, `pace` a second."""
    import av
    from av.video.stream import VideoStream

    name = next(name for name in _CODECS if name in av.codecs_available)
    with av.open(str(path), "w", format="mp4") as container:
        # In parts of 30,000, which hold 29.97 frames a second as well as 25, and fit into what MPEG-4 allows.
        stream = container.add_stream(name, rate=Fraction(30_000, round(30_000 / pace)))
        assert isinstance(stream, VideoStream), "these codecs are of videos"
        stream.width, stream.height = (side + side % 2 for side in frames[0].size)  # colours are kept by pairs
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            even = frame if frame.size == (stream.width, stream.height) else _padded(frame, stream.width, stream.height)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(even), format="rgb24")))
        container.mux(stream.encode())


def _padded(frame: Image.Image, width: int, height: int) -> Image.Image:
    """With black to the right and below."""
    larger = Image.new("RGB", (width, height))
    larger.paste(frame)
    return larger


def _drawn(frame: Tensor, boxes: Tensor, at: int, classes: Sequence[str]) -> Image.Image:
    """A picture [C,H,W] with those of the boxes [n,7] that belong to frame number `at`."""
    array = frame.expand(3, -1, -1).permute(1, 2, 0).numpy().astype(np.uint8)  # [H,W,3]
    image = Image.fromarray(array)
    scale = max(1, -(-_SMALLEST // max(image.size)))
    image = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image)
    for number, left, top, right, bottom, score, _ in reversed(
        boxes[boxes[:, 6] == at].tolist()
    ):  # the surest last, on top
        if score < _LEAST:
            continue
        corners = (left * image.width, top * image.height, right * image.width, bottom * image.height)
        colour = _COLOURS[int(number) % len(_COLOURS)]
        draw.rectangle(corners, outline=colour, width=2)
        label = f"{classes[int(number)]} {score:.2f}".encode("latin-1", "replace").decode("latin-1")  # Pillow's font
        draw.text((corners[0] + 3, corners[1] + 1), label, fill=colour)
    return image

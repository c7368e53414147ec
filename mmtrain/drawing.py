"""Boxes that a model has found, for other programs and for people: COCO's JSON, and pictures with the boxes drawn."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from mmtrain.contracts import Results
from mmtrain.data.dataset import Data
from mmtrain.offers import Locating
from mmtrain.precision import coco

_SMALLEST = 320  # pixels: smaller pictures are enlarged, so that labels can be read
_LEAST = 0.3  # of a score that is drawn; COCO's JSON holds all
_COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000")


def write_boxes(folder: Path, data: Data, task: Locating, results: Results, *, pictures: int) -> None:
    """Writes `coco.json` and a PNG or, of a video, a GIF of the first rows into a folder.

    Sizes are those at which the model has seen the pictures. COCO counts each frame of a video as a picture.

    Args:
        folder: Made where it is not there.
        data: Where the pictures are.
        task: Says whose boxes they are.
        results: Its outputs.
        pictures: Rows whose boxes are drawn.
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
            _draw(
                folder / f"{place:04d}_{re.sub('[^0-9A-Za-z._-]', '_', name)[:60]}", values, found[place], task.classes
            )


def _draw(path: Path, values: Tensor, boxes: Tensor, classes: Sequence[str]) -> None:
    """A picture [C,H,W] as PNG, a video [F,C,H,W] as GIF; uint8."""
    frames = values if values.dim() == 4 else values.unsqueeze(0)
    drawn = [_drawn(frame, boxes[boxes[:, 6] == at], classes) for at, frame in enumerate(frames)]
    if len(drawn) == 1:
        drawn[0].save(path.with_name(f"{path.name}.png"))
    else:
        target = path.with_name(f"{path.name}.gif")
        drawn[0].save(target, save_all=True, append_images=drawn[1:], duration=200, loop=0)


def _drawn(frame: Tensor, boxes: Tensor, classes: Sequence[str]) -> Image.Image:
    array = frame.expand(3, -1, -1).permute(1, 2, 0).numpy().astype(np.uint8)  # [H,W,3]
    image = Image.fromarray(array)
    scale = max(1, -(-_SMALLEST // max(image.size)))
    image = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image)
    for number, left, top, right, bottom, score, _ in reversed(boxes.tolist()):  # the surest last, on top
        if score < _LEAST:
            continue
        corners = (left * image.width, top * image.height, right * image.width, bottom * image.height)
        colour = _COLOURS[int(number) % len(_COLOURS)]
        draw.rectangle(corners, outline=colour, width=2)
        label = f"{classes[int(number)]} {score:.2f}".encode("latin-1", "replace").decode("latin-1")  # Pillow's font
        draw.text((corners[0] + 3, corners[1] + 1), label, fill=colour)
    return image

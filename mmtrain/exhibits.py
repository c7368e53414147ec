"""Rows to look at on a page: what the model saw of them, what it said, what is true.

Media are shown as their readers decode them, encoded anew, so that a page holds no bytes of a file that anybody made.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmtrain.contracts import Results
from mmtrain.data.dataset import Data
from mmtrain.errors import DataError
from mmtrain.evaluation import prediction_columns
from mmtrain.largefile import Content
from mmtrain.protocols import Task

MOST = 6
"""Rows of each kind that are shown."""
_LONGEST_TEXT = 400
_SECONDS = 10
_FRAMES = 4
_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_SIDE = 320  # pixels of the longer side of a picture


class Shown(NamedTuple):
    """One modality of a row: a text, or the data URIs of pictures or of a sound."""

    name: str
    text: str = ""
    pictures: Sequence[str] = ()
    sound: str = ""


class Exhibit(NamedTuple):
    """A row: its id, what is true and what was said of it by column, and what it consists of."""

    name: str
    truth: Mapping[str, str]
    said: Mapping[str, str]
    wrong: bool
    parts: Sequence[Shown]


class Exhibits(NamedTuple):
    """Rows in the order of the split at equal distances, and the worst ones, the worst first."""

    examples: Sequence[Exhibit]
    worst: Sequence[Exhibit]


def exhibits(data: Data, task: Task, results: Results) -> Exhibits:
    """Chooses the rows and reads them.

    The worst ones are those whose wrong prediction had the highest probability, or whose number is furthest off; there
    are none where the predictions file of a task tells neither.
    """
    columns = prediction_columns(data, task, results)
    truths = [name for name in columns if name in task.targets]
    said = [name for name in columns if name.endswith(("prediction", "probability"))]
    row_of = {name: row for row, name in enumerate(data.source.ids)}
    badness = _badness(columns, truths)

    def made(place: int) -> Exhibit:
        name = str(columns["id"][place])
        return Exhibit(
            name,
            {truth: str(columns[truth][place]) for truth in truths},
            {column: _short(columns[column][place]) for column in said},
            badness is not None and isinstance(columns["prediction"][place], str) and badness[place] > 0,
            [_shown(data, row_of[name], modality) for modality in data.spec.signals],
        )

    count = len(results.ids)
    spread = sorted({place * count // MOST for place in range(MOST)})
    order = [] if badness is None else [int(i) for i in np.argsort(-badness, kind="stable")[:MOST] if badness[i] > 0]
    return Exhibits([made(place) for place in spread], [made(place) for place in order])


def _badness(columns: Mapping[str, Sequence[object]], truths: Sequence[str]) -> np.ndarray | None:
    """How wrong each row is, 0 where it is right or has no target, [N]; None where that cannot be said."""
    if len(truths) != 1 or "prediction" not in columns:
        return None
    pairs = list(zip(columns[truths[0]], columns["prediction"], strict=True))
    if "probability" in columns:
        sure = columns["probability"]
        return np.array([float(str(p)) * (t not in ("", said)) for p, (t, said) in zip(sure, pairs, strict=True)])
    try:
        return np.array([abs(float(str(t)) - float(str(said))) if t != "" else 0.0 for t, said in pairs])
    except ValueError:
        return None  # tags or sentences: their predictions are neither right nor wrong as a whole


def _shown(data: Data, row: int, name: str) -> Shown:
    kind = data.spec.signals[name].kind
    try:
        if not (name in data.source.kinds and data.source.present(row, name)):
            return Shown(name, text="–")
        if kind == "audio":
            values = data.decode(row, name)
            return Shown(name) if values is None else _sound(name, values, data.spec.signals[name].sample_rate)
        if kind in ("image", "video"):
            values = data.decode(row, name)
            frames = [] if values is None else [values] if kind == "image" else list(_spread(values))
            return Shown(name, pictures=[_picture(frame) for frame in frames])
        cell = data.source.cell(row, name)
    except DataError as error:
        return Shown(name, text=str(error))
    pieces = cell if isinstance(cell, tuple) else (cell,)
    texts = [f"{len(piece):,} bytes" if isinstance(piece, Content) else piece or "–" for piece in pieces]
    text = " | ".join(texts)
    return Shown(name, text=text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + " …")


def _spread(frames: Tensor) -> Tensor:
    """A few frames of a video [F,C,H,W], at equal distances."""
    return frames[[number * len(frames) // _FRAMES for number in range(min(_FRAMES, len(frames)))]]


def _picture(values: Tensor) -> str:
    """A decoded picture [C,H,W] of bytes, grey or RGB, as the URI of a JPEG, or of a PNG where it is small."""
    from PIL import Image

    pixels = values.to(torch.uint8).permute(1, 2, 0).numpy()  # [H,W,C]
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels[:, :, :3])
    image.thumbnail((_SIDE, _SIDE))
    form = "png" if max(image.size) <= 64 else "jpeg"
    buffer = io.BytesIO()
    image.save(buffer, form)
    return _uri(f"image/{form}", buffer)


def _sound(name: str, values: Tensor, rate: int) -> Shown:
    """The first seconds of a sound [T] as a URI: an MP3, or a WAV at a rate that MP3 does not have."""
    import soundfile

    buffer, form = io.BytesIO(), "MP3" if rate in _MP3_RATES else "WAV"
    soundfile.write(buffer, values[: _SECONDS * rate].clamp(-1, 1).numpy(), rate, format=form)
    return Shown(name, sound=_uri("audio/mpeg" if form == "MP3" else "audio/wav", buffer))


def _uri(kind: str, content: io.BytesIO) -> str:
    return f"data:{kind};base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


def _short(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)

"""An explanation as a page shows it: words with a ground, patches over pictures, moments over a sound."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from mmtrain.contracts import SignalSpec
from mmtrain.data.readers.text import TextReader
from mmtrain.robustness.bench import Bench
from mmtrain.robustness.explain import Explanation

WAVE_WIDTH, WAVE_HEIGHT = 300, 60  # units of the drawing of a sound
_COLUMNS = 300  # of it


class Patch(NamedTuple):
    """A part of a picture, in shares of its sides; of a sound, in shares of its length."""

    x: float
    y: float
    width: float
    height: float
    weight: float  # -1 to 1: against or for the answer, relative to the strongest token of the sample


class Picture(NamedTuple):
    """A picture with its patches."""

    source: str  # a data: URI
    tall: float  # its height where it is 100 wide
    patches: Sequence[Patch]


class Part(NamedTuple):
    """What one modality of a sample says."""

    name: str
    total: float  # sum over its tokens, in units of the output
    words: Sequence[tuple[str, float]] = ()
    pictures: Sequence[Picture] = ()
    wave: str = ""  # the points of a polyline
    moments: Sequence[Patch] = ()


def parts(bench: Bench, explanation: Explanation, row: int) -> list[Part]:
    """What the modalities of a row say; one that it lacks is left out."""
    strongest = max((abs(value) for tokens in explanation.tokens.values() for value in tokens), default=0.0) or 1.0
    found = []
    for name, values in explanation.tokens.items():
        decoded = bench.data.decode(row, name)
        if not values or decoded is None:
            continue
        weights = [value / strongest for value in values]
        part = Part(name, sum(values))
        where = np.array(explanation.positions[name], dtype=float).reshape(-1, 3)
        if bench.trained.kinds[name] == "text":
            words = _words(bench, row, name, decoded)
            found.append(
                part._replace(words=list(zip(words, weights, strict=True)) if len(words) == len(weights) else ())
            )
        else:
            found.append(_drawn(bench, part, decoded, weights, where))
    return found


def _drawn(bench: Bench, part: Part, decoded: Tensor, weights: Sequence[float], where: np.ndarray) -> Part:
    """With what its kind shows; tokens that the encoder has put together cannot be shown apart."""
    spec = bench.trained.spec.signals[part.name]
    if spec.columns:
        return part._replace(words=_columns(bench, spec, decoded, weights))
    if spec.kind == "image":
        placed = len(where) and not np.isnan(where[:, 1:]).any()
        patches = _grid(where[:, 1], where[:, 2], weights) if placed else [Patch(0, 0, 1, 1, sum(weights))]
        return part._replace(pictures=[_picture(decoded, patches)])
    if spec.kind == "video" and len(weights) == len(decoded):
        pairs = zip(decoded, weights, strict=True)
        return part._replace(pictures=[_picture(one, [Patch(0, 0, 1, 1, weight)]) for one, weight in pairs])
    if spec.sample_rate:
        seconds = len(decoded) / spec.sample_rate
        placed = len(where) > 1 and not np.isnan(where[:, 0]).any()
        moments = _moments(where[:, 0] / seconds, weights) if placed else [Patch(0, 0, 1, 1, sum(weights))]
        return part._replace(wave=_wave(decoded), moments=moments)
    return part


def _words(bench: Bench, row: int, name: str, decoded: Tensor) -> list[str]:
    """The words of a text as it was written; of subwords, those of the vocabulary."""
    reader, cell = bench.data.readers[name], bench.data.cell(row, name)
    if isinstance(reader, TextReader) and cell is not None:
        return list(islice(reader.words(cell), len(decoded)))
    vocabulary = bench.trained.spec.signals[name].vocabulary
    return [vocabulary[number] for number in decoded.tolist()] if vocabulary else []


def _columns(bench: Bench, spec: SignalSpec, decoded: Tensor, weights: Sequence[float]) -> list[tuple[str, float]]:
    """The columns of a table that are not blank; none where the encoder does not give them one token each."""
    names = bench.trained.columns.get(spec.name) or [f"column {number + 1}" for number in range(len(spec.columns))]
    there = [name for name, value in zip(names, decoded, strict=True) if not value.isnan()]
    return list(zip(there, weights, strict=True)) if len(there) == len(weights) else []


def _grid(rows: np.ndarray, columns: np.ndarray, weights: Sequence[float]) -> list[Patch]:
    """Patches around the centres of a grid, 0 to 1."""
    height, width = 1 / len(np.unique(rows.round(4))), 1 / len(np.unique(columns.round(4)))
    return [
        Patch(x - width / 2, y - height / 2, width, height, weight)
        for y, x, weight in zip(rows.tolist(), columns.tolist(), weights, strict=True)
    ]


def _moments(centres: np.ndarray, weights: Sequence[float]) -> list[Patch]:
    """Stretches around the middles of tokens, in shares of the length; they may reach beyond its end."""
    width = float(np.median(np.diff(centres)))
    edges = np.clip(np.stack([centres - width / 2, centres + width / 2]), 0, 1)  # [2,L]
    return [
        Patch(start, 0, end - start, 1, weight)
        for start, end, weight in zip(*edges.tolist(), weights, strict=True)
        if end > start
    ]


def _wave(samples: Tensor) -> str:
    """The loudest and the softest sample of each column, joined by a line."""
    columns = np.array_split(samples.numpy(), min(_COLUMNS, len(samples)))
    loudest = float(samples.abs().max()) or 1.0
    points = []
    for number, column in enumerate(columns):
        x = number * WAVE_WIDTH / len(columns)
        for value in (column.max(), column.min()):
            points.append(f"{x:.1f},{WAVE_HEIGHT / 2 * (1 - float(value) / loudest):.1f}")
    return " ".join(points)


def _picture(values: Tensor, patches: Sequence[Patch]) -> Picture:
    """A picture [C,H,W] uint8 as a PNG."""
    pixels = values.permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, format="PNG")
    source = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    return Picture(source, 100 * pixels.shape[0] / pixels.shape[1], patches)

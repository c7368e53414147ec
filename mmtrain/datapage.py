"""The page of a data set, `mmtrain check html=data.html`: counts, lengths and examples, in one file.

Examples are shown as the model gets them: pictures and frames at their final size, sounds at their rate and cut to
their window. Everything is inside the file; all text passes through Jinja's escaping, as in the page of a run.
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mmtrain.charts import ticks
from mmtrain.contracts import Cell, SignalSpec
from mmtrain.data.dataset import Data
from mmtrain.data.readers.sound import encode
from mmtrain.errors import DataError
from mmtrain.largefile import Content
from mmtrain.page import render
from mmtrain.survey import WORDS, Survey, length_line

EXAMPLES = 12
MOST_CLASSES = 60
MOST_FRAMES = 6
MOST_SECONDS = 10  # of a sound on the page
MOST_CHARACTERS = 300


class Bar(NamedTuple):
    """One bar of a histogram: what it counts, how many, and its length in percent of the longest."""

    label: str
    number: int
    percent: float


class Example(NamedTuple):
    """One row: its id and target, and what it shows of each modality; pictures and sounds are data URIs."""

    id: str
    target: str
    pictures: Mapping[str, Sequence[str]]
    sounds: Mapping[str, str]
    texts: Mapping[str, str]
    absent: Sequence[str]


def write(path: Path, data: Data, found: Survey) -> None:
    """Writes the page.

    Args:
        path: The file.
        data: The rows with their readers.
        found: What a survey of them has found.
    """
    signals = data.spec.signals
    html = render(
        "datapage.html",
        origin=data.source.split_origin,
        rows=found.rows,
        read=sum(found.read.values()),
        missing=data.missing(),
        notes=[*data.source.notes, *data.notes],
        bad=[reason for split in found.bad.values() for reason in split.values()],
        pairs={"twice": found.twice, "across": found.across, "disputed": found.disputed},
        classes={name: class_rows(by_split) for name, by_split in found.classes.items()},
        words={name: WORDS[data.spec.targets[name].kind] for name in found.classes},
        most_classes=MOST_CLASSES,
        lengths={
            name: (length_line(lengths, signals[name]), histogram(lengths, signals[name]))
            for name, lengths in found.lengths.items()
        },
        examples=list(examples(data)),
        shapes={name: spec.shape for name, spec in signals.items()},
    )
    path.write_bytes(html.encode("utf-8", "replace"))


def class_rows(by_split: Mapping[str, Counter[str]]) -> list[tuple[str, list[int], float]]:
    """Each class, the commonest first: its rows in every split, and the length of its bar in percent."""
    total: Counter[str] = sum(by_split.values(), Counter())
    most = max(total.values(), default=1)
    order = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    return [(name, [counts[name] for counts in by_split.values()], 100 * number / most) for name, number in order]


def histogram(lengths: Sequence[int], spec: SignalSpec) -> list[Bar]:
    """How many samples have how many steps (seconds, where there is a rate), in about ten classes of equal width."""
    if not lengths:
        return []
    scale, step = spec.sample_rate or 1, 0 if spec.sample_rate else 1
    values = [length / scale for length in lengths]
    edges = ticks([min(values), max(values) + step], whole=bool(step), count=10)
    inner = torch.tensor(edges[1:-1], dtype=torch.float64)
    places = torch.bucketize(torch.tensor(values, dtype=torch.float64), inner, right=True)
    counts = places.bincount(minlength=len(edges) - 1).tolist()
    labels = [
        f"{low:g} – {high:g}" if not step else f"{low:g}" if high - low == 1 else f"{low:g} – {high - 1:g}"
        for low, high in pairwise(edges)
    ]
    return [Bar(label, count, 100 * count / max(counts)) for label, count in zip(labels, counts, strict=True)]


def examples(data: Data) -> Iterator[Example]:
    """Rows of the training split, of as many different targets as there are places."""
    names, splits = list(data.spec.targets), data.source.splits
    rows = splits.get("train") or next(iter(splits.values()))
    chosen = spread(rows, [" / ".join(data.source.target(row, name) or "" for name in names) for row in rows])
    for row in chosen:
        pictures: dict[str, list[str]] = {}
        sounds: dict[str, str] = {}
        texts: dict[str, str] = {}
        absent = []
        for name, spec in data.spec.signals.items():
            try:
                values = data.decode(row, name)
            except DataError as error:
                texts[name] = str(error)
                continue
            if values is None:
                absent.append(name)
            elif values.dtype == torch.uint8 and values.dim() in (3, 4):
                frames = values if values.dim() == 4 else values.unsqueeze(0)  # [F,C,H,W]
                shown = frames[:: max(1, len(frames) // MOST_FRAMES)][:MOST_FRAMES]
                pictures[name] = [picture(frame) for frame in shown]
            elif spec.sample_rate and values.dim() == 1:
                sounds[name] = sound(values[: MOST_SECONDS * spec.sample_rate], spec.sample_rate)
            else:
                texts[name] = words(data.source.cell(row, name), values)
        target = " / ".join(data.source.target(row, name) or "–" for name in names)
        yield Example(data.source.ids[row], target, pictures, sounds, texts, absent)


def spread(rows: Sequence[int], labels: Sequence[str]) -> list[int]:
    """Up to `EXAMPLES` rows: the first of every label, then the second of every label, and so on."""
    place: Counter[str] = Counter()
    order = []
    for row, label in zip(rows, labels, strict=True):
        order.append((place[label], row))
        place[label] += 1
    return [row for _, row in sorted(order)[:EXAMPLES]]


def picture(values: Tensor) -> str:
    """A PNG of [C,H,W] uint8 as a data URI; of other than three channels the first is shown."""
    from PIL import Image

    pixels = values.permute(1, 2, 0).numpy() if len(values) == 3 else values[0].numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return _uri("image/png", file.getvalue())


def sound(values: Tensor, rate: int) -> str:
    """A WAV of [T] samples from -1 to 1 as a data URI, 16 bits; what is louder is clipped."""
    return _uri("audio/wav", encode(values.clamp(-1, 1).numpy(), rate))


def words(cell: Cell | None, values: Tensor) -> str:
    """A cell that is neither seen nor heard: its text, the texts of its columns, or the shape of its numbers."""
    parts = cell if isinstance(cell, tuple) else (cell,)
    if any(isinstance(part, Content) for part in parts):
        return f"{' x '.join(map(str, values.shape))} numbers, {values.dtype}".replace("torch.", "")
    text = " · ".join("–" if part is None else str(part) for part in parts)
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} …"


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"

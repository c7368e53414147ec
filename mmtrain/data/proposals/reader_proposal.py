"""Proposes settings of readers where those a reader has by default would cut much of the samples, or invent some."""

from __future__ import annotations

import inspect
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from mmtrain.data.proposals.inference import Column
from mmtrain.data.readers.audio import AudioReader
from mmtrain.data.readers.sound import sound_length
from mmtrain.data.readers.text import TextReader
from mmtrain.data.tables.files import Store

_SOUNDS, _TEXTS = 100, 1000  # looked at, evenly spread
_LARGEST_SOUND = 2**24  # bytes; larger ones are passed over, as they are read whole
_MOST_SECONDS, _MOST_WORDS = 30.0, 512  # to propose: longer inputs cost time and memory, so a person decides on them
_KEPT = 0.95  # share of the samples that the length keeps whole


class Setting(NamedTuple):
    """A setting of a reader and what speaks for it."""

    value: float | int
    evidence: str


def reader_settings(
    columns: Sequence[Column], cells: Mapping[str, Sequence[str]], stores: Mapping[str, Store]
) -> dict[str, dict[str, Setting]]:
    """Settings by kind and argument; those of one kind serve all its columns, so the longest of these decides.

    Args:
        columns: Those used as modalities.
        cells: The cells of every column.
        stores: The media of columns that have some.
    """
    sounds, words = [], list[int]()
    for column in columns:
        filled = [row for row, cell in enumerate(cells[column.name]) if cell.strip()]
        if column.kind == "audio":
            sounds.append(list(_sounds(stores[column.name], _spread(filled, _SOUNDS))))
        elif column.kind == "text":
            reader = TextReader(column.name)
            lengths = (sum(1 for _ in reader.words(cells[column.name][row])) for row in _spread(filled, _TEXTS))
            words.append(_long([float(length) for length in lengths]))
    found = {"audio": _audio(sounds), "text": _text(words)}
    return {kind: settings for kind, settings in found.items() if settings}


def _audio(columns: Sequence[Sequence[tuple[float, int]]]) -> dict[str, Setting]:
    """Of (seconds, rate) of the sounds of each column: a window that holds most of them, and no rate above theirs."""
    read = [column for column in columns if column]
    if not read:
        return {}
    longest, count = max(seconds for column in read for seconds, _ in column), sum(map(len, read))
    (rate, _), *_ = Counter(rate for column in read for _, rate in column).most_common(1)
    seconds = max(_long([seconds * 100 for seconds, _ in column]) / 100 for column in read)
    kept = min(seconds, _MOST_SECONDS)
    why = f"{_KEPT:.0%} of {count:,} sounds are within {seconds:g} s, the longest has {longest:.2f} s"
    why = why if kept == seconds else f"more is costly; {why}"
    most = int(_default(AudioReader, "sample_rate"))
    return {
        "seconds": Setting(kept, why),
        "sample_rate": Setting(min(rate, most), f"Hz; most files have {rate:,}"),
    }


def _text(longest: Sequence[int]) -> dict[str, Setting]:
    """Of a number of words that holds most texts of each column: that, where a reader would cut them."""
    most = max(longest, default=0)
    if most <= _default(TextReader, "max_length"):
        return {}
    kept = min(most, _MOST_WORDS)
    why = f"{_KEPT:.0%} of the texts have no more than {most:,} words"
    return {"max_length": Setting(kept, why if kept == most else f"more is costly; {why}")}


def _sounds(store: Store, rows: Sequence[int]) -> Iterator[tuple[float, int]]:
    """Seconds and rate of each sound that can be read; check names the others."""
    for row in rows:
        try:
            if store.size(row) <= _LARGEST_SOUND:
                frames, rate = sound_length(store.read(row))
                yield frames / rate, rate
        except (ValueError, OSError):
            continue


def _long(lengths: Sequence[float]) -> int:
    """The least whole number that `_KEPT` of the lengths do not exceed; 0 of none."""
    return math.ceil(sorted(lengths)[math.ceil(_KEPT * len(lengths)) - 1]) if lengths else 0


def _spread(rows: Sequence[int], count: int) -> list[int]:
    step = max(1.0, len(rows) / count)
    return [rows[int(place * step)] for place in range(min(count, len(rows)))]


def _default(reader: type, argument: str) -> float:
    value = inspect.signature(reader).parameters[argument].default
    assert isinstance(value, int | float)
    return value

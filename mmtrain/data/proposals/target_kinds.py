"""What kind of target a column seems to hold, and which tasks can learn it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from mmtrain.data.proposals.inference import Column, few, is_number
from mmtrain.errors import DataError


class TargetKind(NamedTuple):
    """A kind of target: class, multilabel, number or text; the tasks for it, likeliest first; and a note."""

    kind: str
    tasks: tuple[str, ...]
    note: str


def target_kind(column: Column, cells: Sequence[str], kinds: set[str]) -> TargetKind:
    """The kind of target that a column seems to hold.

    Args:
        column: The column, as inferred.
        cells: Its cells.
        kinds: The kinds of the modalities of the table: a text beside sounds is likely what is said in them.

    Raises:
        DataError: It holds nothing to learn: one value only, files, or names of which hardly one repeats.
    """
    counts = Counter(cell for cell in cells if cell.strip())
    filled, distinct = counts.total(), len(counts)
    if distinct < 2:
        raise DataError(
            f"`target` (={column.name}) has {'one value only' if distinct else 'no value'}; choose another."
        )
    if column.role == "media":
        raise DataError(f"`target` (={column.name}) names {column.kind} files; choose a column of labels.")
    if column.separator:
        return TargetKind("multilabel", ("tagging",), "")
    if all(value.startswith("[") for value in counts):
        return TargetKind("multilabel", ("tagging",), "")
    numbers = all(map(is_number, counts))
    if numbers and not (few(distinct, filled) and all(float(value).is_integer() for value in counts)):
        return TargetKind("number", ("regression",), "")
    if column.role == "text" and not few(distinct, filled):
        said = ("speech_recognition",) if "audio" in kinds else ()
        shown = ("captioning",) if kinds & {"image", "video"} or not said else ()
        return TargetKind("text", (*shown, *said), "most are different")
    if distinct > filled / 2:
        raise DataError(
            f"`target` (={column.name}) has {distinct:,} values in {filled:,} rows, so hardly one repeats: it looks"
            " like an id; choose another."
        )
    return TargetKind("class", ("classification",), "as numbers: task=regression" if numbers and distinct > 2 else "")

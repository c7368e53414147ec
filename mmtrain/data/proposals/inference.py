"""What the columns of a table seem to be, each with the evidence for it; a person decides.

Files are known by looking for them and at their first bytes, everything else by the cells. Names count in three places
only: for the columns of splits, folds and groups, for ids, and for `text...`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, pairwise
from typing import Literal

from mmtrain.data.proposals.media_kinds import kind_of_bytes
from mmtrain.data.tables.files import kind_by_suffix
from mmtrain.data.tables.splits import NAMES

Role = Literal["media", "text", "number", "category", "tags", "id", "split", "fold", "group", "time", "other"]

_SAMPLED_FILES, _OPENED_FILES = 200, 20
_CJK = "\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"[^\W{_CJK}]+(?:['-][^\W{_CJK}]+)*")
_ID = re.compile(r"(^|_)(id|uuid|guid|index|key|hash|file_?name)$", re.IGNORECASE)
_GROUP = re.compile(
    r"(^|_)(speaker|patient|subject|person|participant|user|author|writer|singer|actor|group|scene|recording)(_?id)?$",
    re.IGNORECASE,
)
_FOLD = re.compile(r"(^|_)folds?$", re.IGNORECASE)
_SPLIT = ("split", "subset", "partition")
_TAGS = {"|": 0.2, ";": 0.2, ",": 0.3}  # separator: the least share of cells that must hold it


@dataclass(frozen=True)
class Column:
    """What a column seems to be.

    Args:
        name: The column.
        role: What it may be used as; `other` and `id` are of no use to a model.
        kind: The modality it may be: text, image, ...; "" where it is none.
        evidence: What was seen, for a person.
        distinct: How many different values it has, blank cells aside.
        separator: What divides the tags of a cell; "" where the column is none of tags.
    """

    name: str
    role: Role
    kind: str
    evidence: str
    distinct: int
    separator: str = ""


def infer(name: str, cells: Sequence[str], read: Callable[[str], bytes | None]) -> Column:
    """What a column of a table seems to be.

    Args:
        name: The column.
        cells: One a row.
        read: The first bytes of the file that a cell names; None where there is no such file that may be opened.
    """
    counts = Counter(cell for cell in cells if cell.strip())
    filled, distinct = counts.total(), len(counts)
    seen = f"{distinct:,} distinct" + (f", {len(cells) - filled:,} blank" if filled < len(cells) else "")

    def found(role: Role, kind: str = "", why: str = "", separator: str = "") -> Column:
        shown = ", ".join(_short(value) for value in islice(counts, 3))
        evidence = "; ".join(part for part in (why, seen, f"such as {shown}") if part)
        return Column(name, role, kind, evidence, distinct, separator)

    if not filled:
        return Column(name, "other", "", "blank in every row", 0)
    media = _media(list(counts), read)
    if media is not None:
        return found("media" if media[0] else "other", *media)
    if distinct == 1 < filled and name.lower() not in _SPLIT:
        return found("other", why="the same in every row")
    if name.lower() in _SPLIT or (distinct > 1 and all(value.lower() in NAMES for value in counts)):
        return Column(name, "split", "", ", ".join(f"{value} ({n:,})" for value, n in counts.most_common(6)), distinct)
    if _FOLD.search(name) and 1 < distinct <= 20:
        return found("fold", why="folds by its name")
    if _GROUP.search(name) and 1 < distinct < filled:
        return found("group", why="a group by its name")
    if _ID.search(name) or (distinct == filled > 2 and _counts_up(list(counts))):
        return found("id", why="an id by its name" if _ID.search(name) else "counts the rows")
    if all(map(is_number, counts)):
        return found("number", "tabular", "numbers")
    if distinct > 2 and all(map(_is_date, counts)):
        return found("time", why="dates")
    separator = tag_separator(counts)
    if separator:
        return found("tags", "text", f"lists divided by '{separator}'", separator)
    words = _words(list(counts))
    if name.lower().startswith("text") or (words >= 3 and not (few(distinct, filled) and words < 4)):
        return found("text", "text", f"{words:.1f} words on average")
    if few(distinct, filled):
        return found("category", "tabular", "categories")
    if words >= 2:
        return found("text", "text", f"{words:.1f} words on average")
    return found("id" if distinct > 0.9 * filled else "other", why="names: hardly one value repeats")


def few(distinct: int, filled: int) -> bool:
    """Whether a column has few enough values to be one of categories: each is there five times, or they are 20."""
    return distinct <= max(filled / 5, min(20, filled / 2))


def is_number(cell: str) -> bool:
    """Whether a cell is a finite number."""
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def tag_separator(counts: Counter[str]) -> str:
    """What divides cells into short parts that recur; "" where nothing does."""
    filled = counts.total()
    for separator, least in _TAGS.items():
        if sum(n for cell, n in counts.items() if separator in cell) < least * filled:
            continue
        parts = Counter(part.strip() for cell in counts for part in cell.split(separator) if part.strip())
        if _words(list(parts)) <= 3 and len(parts) <= 0.7 * parts.total():
            return separator
    return ""


def _media(values: Sequence[str], read: Callable[[str], bytes | None]) -> tuple[str, str] | None:
    """(kind, why) of a column of files; the kind is "" where they are of no use; None where the cells name no files."""
    sampled = _spread(values, _SAMPLED_FILES)
    heads = {value: head for value in sampled if _like_path(value) and (head := read(value)) is not None}
    by_suffix = Counter(kind for value in sampled if (kind := kind_by_suffix(value)))
    if not heads:
        if by_suffix.total() < 0.9 * len(sampled):
            return None
        (kind, _), *_ = by_suffix.most_common(1)
        links = "URLs" if any("://" in value for value in sampled) else f"names of {kind} files"
        return "", f"{links}, none of which is there: fetch them, or set data_root="
    opened = Counter(kind_of_bytes(heads[value]) for value in _spread(list(heads), _OPENED_FILES))
    (found, _), *_ = opened.most_common(1)
    count = f"{len(heads):,} of {len(sampled):,} cells tried name files"
    if found is None:
        return "", f"{count}, of no format that is read"
    formats = " and ".join(sorted({one.format for one in opened if one}))
    unlike = sum(n for one, n in opened.items() if one is None or one.kind != found.kind)
    return (
        found.kind,
        f"{count} ({formats}{f'; {unlike} of {opened.total()} opened are not {found.kind}' if unlike else ''})",
    )


def _like_path(value: str) -> bool:
    return len(value) < 1000 and "\n" not in value


def _spread(values: Sequence[str], count: int) -> list[str]:
    """So many of the values, evenly spread."""
    step = max(1, len(values) / count)
    return [values[int(place * step)] for place in range(min(count, len(values)))]


def _words(values: Sequence[str]) -> float:
    """Words of a value on average; two Chinese or Japanese characters count as one."""
    sampled = _spread(values, 1000)
    return sum(len(_WORD.findall(v)) + len(re.findall(f"[{_CJK}]", v)) / 2 for v in sampled) / max(1, len(sampled))


def _counts_up(values: Sequence[str]) -> bool:
    """Whether values are whole numbers, each one more than the one before."""
    if not all(value.isdecimal() for value in values):
        return False
    return all(int(later) == int(value) + 1 for value, later in pairwise(values))


def _is_date(cell: str) -> bool:
    try:
        datetime.fromisoformat(cell.strip())
    except ValueError:
        return False
    return not cell.strip().isdecimal()


def _short(value: str) -> str:
    flat = " ".join(value.split())
    return repr(flat if len(flat) <= 40 else f"{flat[:37]}...")

"""What the rows of a run hold, found by reading them: cells that cannot be decoded, lengths, classes, equal rows."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from mmtrain.contracts import SignalSpec
from mmtrain.data.dataset import Data
from mmtrain.data.fitting import refuse_many
from mmtrain.data.store import key_of
from mmtrain.errors import DataError
from mmtrain.report import progress
from mmtrain.target import TargetSpec

CLASSES_SHOWN = 5
BAD_SHOWN = 20
WORDS = {"class": "classes", "multilabel": "tags"}
"""The kinds of target that are counted, and what they consist of."""


@dataclass
class Survey:
    """What was found.

    Args:
        rows: Rows of each split.
        read: Those of them that were read.
        bad: By split, the reason by the id of each row that could not be read.
        lengths: Steps of each sample that was read, by modality; only of modalities that are padded.
        classes: By target and split, how many rows each class or tag has; all rows, only of targets that have some.
        twice: Rows that were read and equal an earlier one in all modalities: (id, id of the earlier one).
        across: Those of them in another split than the earlier one.
        disputed: Those of them with another target than the earlier one.
    """

    rows: dict[str, int]
    read: dict[str, int]
    bad: dict[str, dict[str, str]] = field(default_factory=dict)
    lengths: dict[str, list[int]] = field(default_factory=dict)
    classes: dict[str, dict[str, Counter[str]]] = field(default_factory=dict)
    twice: list[tuple[str, str]] = field(default_factory=list)
    across: list[tuple[str, str]] = field(default_factory=list)
    disputed: list[tuple[str, str]] = field(default_factory=list)

    def refuse_bad(self, on_bad_sample: str, most: float) -> None:
        """Raises a DataError where training on these rows would end in one."""
        if on_bad_sample == "error":
            reasons = [reason for split in self.bad.values() for reason in split.values()]
            if reasons:
                first = "\n".join(reason.rstrip(".") + "." for reason in reasons[:5])
                count = f"{len(reasons):,} of {sum(self.read.values()):,} rows cannot be read"
                raise DataError(f"{first}\n{count}; mend the files, or leave such rows out with `on_bad_sample=skip`.")
        for split, skipped in self.bad.items():
            refuse_many(skipped, self.read[split], split, most)


def take(data: Data, sample: int | None = None) -> Survey:
    """Reads the rows of all splits, or `sample` of them at even distances, and counts the classes of all."""
    splits = data.source.splits
    found = Survey({split: len(rows) for split, rows in splits.items()}, dict.fromkeys(splits, 0))
    total = sum(found.rows.values())
    chosen = range(total) if sample is None or sample >= total else [at * total // sample for at in range(sample)]
    found.lengths = {name: [] for name, spec in data.spec.signals.items() if spec.length > 1}
    found.classes = {name: _classes(data, name) for name, spec in data.spec.targets.items() if spec.kind in WORDS}
    seen: dict[bytes, tuple[str, int]] = {}
    for split, row in progress(_rows(splits, chosen), total=len(chosen), unit="row"):
        found.read[split] += 1
        whole = _read(data, split, row, found)
        if whole is None:
            continue
        first, other = seen.setdefault(whole, (split, row))
        if other != row:
            pair = data.source.ids[row], data.source.ids[other]
            found.twice.append(pair)
            if split != first:
                found.across.append(pair)
            if any(data.source.target(row, name) != data.source.target(other, name) for name in data.spec.targets):
                found.disputed.append(pair)
    return found


def _rows(splits: Mapping[str, Sequence[int]], chosen: Sequence[int]) -> Iterator[tuple[str, int]]:
    """Split and row number of the chosen ones, counted through all splits."""
    first = 0
    for split, rows in splits.items():
        yield from ((split, rows[at - first]) for at in chosen if first <= at < first + len(rows))
        first += len(rows)


def _read(data: Data, split: str, row: int, found: Survey) -> bytes | None:
    """Decodes a row and notes what comes of it; returns a digest of its cells, None where one cannot be read."""
    digest = hashlib.sha256()
    for name in data.spec.signals:
        try:
            values = data.read(row, name)
        except DataError as error:
            found.bad.setdefault(split, {}).setdefault(data.source.ids[row], str(error))
            continue
        cell = None if values is None else data.source.cell(row, name)
        digest.update(b"-" if cell is None else key_of(cell))
        if values is not None and name in found.lengths:
            found.lengths[name].append(len(values))
    return None if data.source.ids[row] in found.bad.get(split, {}) else digest.digest()


def _classes(data: Data, name: str) -> dict[str, Counter[str]]:
    """How many rows of each split a class has; those of train have been counted to learn the classes."""
    spec = data.spec.targets[name]
    learned = Counter(dict(zip(spec.classes, spec.counts, strict=True)))
    return {
        split: learned if split == "train" else Counter(label for row in rows for label in _labels(data, row, name))
        for split, rows in data.source.splits.items()
    }


def _labels(data: Data, row: int, name: str) -> list[str]:
    """The class or the tags of a row; none where it has no target, or one that is left out as unreadable."""
    value, spec = data.source.target(row, name), data.spec.targets[name]
    if value is None or spec.kind == "class":
        return [] if value is None else [value]
    try:
        tags = data.targets[name].encode(value).tensor[0]  # [K]
    except ValueError:
        return []
    return [spec.classes[number] for number in tags.nonzero().flatten().tolist()]


def lines(found: Survey, data: Data) -> Iterator[str]:
    """The findings for people, one a line."""
    for name, by_split in found.classes.items():
        yield from _class_lines(data.spec.targets[name], by_split)
    for name, spec in data.spec.signals.items():
        shape = "x".join(map(str, spec.shape))
        yield f"{name}: {length_line(found.lengths[name], spec)}" if name in found.lengths else f"{name}: {shape}"
    for pairs, what in (
        (found.twice, "equal an earlier row in all modalities"),
        (found.across, "equal a row of another split: what is trained on is tested on"),
        (found.disputed, "equal an earlier row and have another target"),
    ):
        if pairs:
            yield f"note: {len(pairs):,} rows {what}, the first: {pairs[0][0]} as {pairs[0][1]}"
    reasons = [reason for split in found.bad.values() for reason in split.values()]
    yield from (f"bad: {reason}" for reason in reasons[:BAD_SHOWN])
    if len(reasons) > BAD_SHOWN:
        yield f"bad: {len(reasons) - BAD_SHOWN:,} more"


def _class_lines(spec: TargetSpec, by_split: dict[str, Counter[str]]) -> Iterator[str]:
    train = by_split.get("train", Counter())
    if not train:
        return
    most, least = max(train, key=train.__getitem__), min(train, key=train.__getitem__)
    rows = f"from {train[least]:,} rows ('{least}') to {train[most]:,} ('{most}')"
    if train[least] == train[most]:
        rows = f"{train[least]:,} rows each"
    share, what = train[most] / (spec.rows or sum(train.values())), WORDS[spec.kind]
    yield f"{spec.name}: {len(train):,} {what}, in train {rows}; the largest has {share:.0%} of all rows"
    for split, counts in by_split.items():
        lacking = [label for label in train if not counts[label]]
        if lacking and spec.kind == "class":  # of tags, the data's own notes tell it
            more = ", ..." if len(lacking) > CLASSES_SHOWN else ""
            yield f"note: {split} has no row of {len(lacking):,} {what}: {', '.join(lacking[:CLASSES_SHOWN])}{more}"


def length_line(lengths: Sequence[int], spec: SignalSpec) -> str:
    """Shortest, median and longest sample, and how many are as long as a sample may be."""
    if not lengths:
        return "none was read"

    def told(steps: float) -> str:
        return f"{steps / spec.sample_rate:.2f}" if spec.sample_rate else f"{steps:g}"

    unit = " s" if spec.sample_rate else " steps"
    full = sum(length >= spec.length for length in lengths)
    cut = f"; {full:,} of {len(lengths):,} fill that, and are cut if longer" if full else ""
    return (
        f"{told(min(lengths))} to {told(max(lengths))}{unit}, median {told(median(lengths))}, of at most "
        f"{told(spec.length)}{cut}"
    )

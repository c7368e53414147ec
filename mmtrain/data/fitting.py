"""What the rows of a source bear out: learns signals and targets from them, and refuses what does not fit, by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain

from torch import nn

from mmtrain.contracts import Cell, DataSpec, SignalSpec
from mmtrain.data.targets.classes import without_rows
from mmtrain.data.targets.kinds import TargetReader
from mmtrain.errors import ConfigError, DataError
from mmtrain.protocols import Augment, DataSource, Reader
from mmtrain.suggest import did_you_mean
from mmtrain.target import Target, TargetSpec

ReaderFactory = Callable[[str], Reader]
AugmentFactory = Callable[[SignalSpec], Augment]
_NAME = re.compile(r"\w[\w-]*")
PREDICT = "predict"  # the one split whose rows need no target


def choose(source: DataSource, modalities: Sequence[str] | None) -> list[str]:
    """The modalities to use, in order: those asked for, or all that the source has."""
    names = list(source.kinds if modalities is None else modalities)
    if not names:
        found = "is empty" if modalities is not None else "is null, and the data has none"
        raise ConfigError(f"`modalities` {found}; the data has {listed(source.kinds)}.")
    for name in names:
        if name not in source.kinds:
            hint = did_you_mean(name, source.kinds)
            raise ConfigError(f"`modalities`: no '{name}' in the data; it has {listed(source.kinds)}.{hint}")
        if not _NAME.fullmatch(name) or hasattr(nn.ModuleDict(), name):
            raise DataError(
                f"modality '{name}': the name is also that of a part of the network, so it is made of letters, digits,"
                " '_' and '-', and no method of torch's ModuleDict; rename the column, or leave it out of `modalities`."
            )
    if len(set(names)) < len(names):
        raise ConfigError(f"`modalities` (={names}) names one twice.")
    return names


def build_reader(source: DataSource, readers: Mapping[str, ReaderFactory], name: str) -> Reader:
    """The reader of one modality, of the kind that the source says."""
    if name not in readers:
        raise ConfigError(f"modality `{name}` has no reader; choose one with `reader/{name}=default`.")
    reader = readers[name](name)
    kind = source.kinds.get(name, reader.kind)
    if reader.kind != kind:
        raise ConfigError(f"`reader.{name}` reads {reader.kind}, but `{name}` is {kind}.")
    return reader


def build_augments(augments: Mapping[str, AugmentFactory] | None, spec: DataSpec) -> dict[str, Augment]:
    """What changes the training samples of each modality that is used."""
    return {name: make(spec.signals[name]) for name, make in (augments or {}).items() if name in spec.signals}


def fit_signal(source: DataSource, reader: Reader, name: str, train: Sequence[int]) -> SignalSpec:
    """Lets a reader learn from the training rows that have its modality."""
    if not any(source.present(row, name) for row in train):
        raise DataError(f"`{name}` is missing in all {len(train):,} training rows; leave it out of `modalities`.")
    current: int | None = None

    def cells() -> Iterator[Cell]:
        nonlocal current
        for current in train:
            cell = source.cell(current, name)
            if cell is not None:
                yield cell
        current = None  # what is wrong now is wrong with all of them

    try:
        return reader.fit(cells())
    except (ValueError, OSError) as error:
        place = f"`{name}`" if current is None else source.place(current, name)
        raise DataError(f"{place}: {error}.") from None


def require_target(source: DataSource, name: str) -> None:
    """Raises a ConfigError where the source has no such target."""
    if name not in source.targets:
        hint = did_you_mean(name, source.targets)
        raise ConfigError(f"the task wants the target `{name}`; the data has {listed(source.targets)}.{hint}")


def require_targets(source: DataSource, names: Sequence[str]) -> None:
    """Raises a DataError where a row that is to be learned from or judged has none of the targets."""
    labelled = [rows for split, rows in source.splits.items() if split != PREDICT]
    blank: Iterable[int] = chain.from_iterable(labelled) if names else []
    for name in names:
        blank = [row for row in blank if source.target(row, name) is None]
    if blank := list(blank):
        what = f"no `{names[0]}`" if len(names) == 1 else f"none of `{'`, `'.join(names)}`"
        rows = f"{len(blank):,} of {sum(map(len, labelled)):,} rows have {what}"
        raise DataError(f"{rows}: {places(source, blank)}; fill the cells in, or take the rows out of the table.")


def fit_target(source: DataSource, reader: TargetReader, name: str, *, skip: bool) -> tuple[TargetSpec, list[str]]:
    """Lets a target's reader learn from the training rows; every cell must be one that it can read.

    Args:
        source: The rows.
        reader: Of the target's kind.
        name: The target.
        skip: Leaves a cell out that cannot be read, as if it were blank.

    Returns:
        What was learned, and notes: what was left out, tags that no row of a split has.
    """
    bad = _refused(source, name, reader.check)
    notes = _told(source, name, bad, skip=skip)
    train = (source.target(row, name) for row in source.splits["train"] if row not in bad)
    try:
        spec = reader.fit(value for value in train if value is not None)
    except ValueError as error:
        raise DataError(f"{error}.") from None
    notes += [*reader.remarks, *refuse_unknown(source, reader, name, skip=skip, known=bad)]
    if spec.kind == "multilabel":
        notes += _tags_without_rows(source, reader, spec)
    return spec, notes


def refuse_unknown(
    source: DataSource, reader: TargetReader, name: str, *, skip: bool, known: Collection[int] = ()
) -> list[str]:
    """Raises a DataError where a row's target cannot be read or is none of those learned; a note with `skip`.

    `known` are rows that have been told before.
    """
    bad = _refused(source, name, reader.encode)
    return _told(source, name, {row: reason for row, reason in bad.items() if row not in known}, skip=skip)


def _refused(source: DataSource, name: str, read: Callable[[str], object]) -> dict[int, ValueError]:
    """Rows whose cell a function refuses, with its reason."""

    @lru_cache(maxsize=10_000)  # labels repeat
    def reason(value: str) -> ValueError | None:
        try:
            read(value)
        except ValueError as error:
            return error.with_traceback(None)
        return None

    bad = {}
    for row in (row for rows in source.splits.values() for row in rows):
        value = source.target(row, name)
        if value is not None and (told := reason(value)) is not None:
            bad[row] = told
    return bad


def _told(source: DataSource, name: str, bad: Mapping[int, ValueError], *, skip: bool) -> list[str]:
    if not bad:
        return []
    reason = f"{places(source, list(bad))}: {str(next(iter(bad.values()))).rstrip('.')}"
    if skip:
        return [f"{len(bad):,} rows count as having no `{name}`; {reason}"]
    raise DataError(
        f"{reason}. {len(bad):,} such rows; mend the cells, add training rows that have such a `{name}`, or leave the "
        "cells out with `on_bad_sample=skip`."
    )


def _tags_without_rows(source: DataSource, reader: TargetReader, spec: TargetSpec) -> list[str]:
    notes = []
    for split, rows in source.splits.items():
        cells = [value for row in rows if (value := source.target(row, spec.name)) is not None]
        missing = without_rows(spec, [target for cell in cells if (target := read_or_none(reader, cell)) is not None])
        if missing:
            notes.append(f"no row of {split} has {missing}")
    return notes


def read_or_none(reader: TargetReader, value: str, key: int | None = None) -> Target | None:
    """A cell that `on_bad_sample=skip` has let through counts as blank wherever it is read."""
    try:
        return reader.encode(value, key)
    except ValueError:
        return None


def refuse_many(skipped: Mapping[str, str], rows: int, split: str, most: float) -> None:
    """Raises a DataError where more rows of a split could not be read than a share `most` of them.

    Args:
        skipped: The reason by the id of each such row.
        rows: All rows of the split.
        split: Its name.
        most: From 0 to 1.
    """
    if len(skipped) > most * rows:
        first = "; ".join(reason.rstrip(".") for reason in list(skipped.values())[:5])
        raise DataError(
            f"{len(skipped):,} of {rows:,} rows of {split} could not be read, more than `max_bad_fraction` (={most:g}) "
            f"lets pass: {first}; mend the files, or raise it."
        )


def places(source: DataSource, rows: Sequence[int]) -> str:
    """Where the first of some rows stand, and how many more there are."""
    more = f" and {len(rows) - 5:,} more" if len(rows) > 5 else ""
    return ", ".join(source.place(row) for row in rows[:5]) + more


def listed(names: Mapping[str, str] | Sequence[str]) -> str:
    """Names for a message."""
    return ", ".join(names) or "none"

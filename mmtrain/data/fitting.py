"""What the rows of a source bear out: learns signals and targets from them, and refuses what does not fit, by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

from torch import nn

from mmtrain.contracts import Cell, DataSpec, SignalSpec
from mmtrain.data.target_notes import TargetCells, notes_on_target, places
from mmtrain.data.targets.kinds import TargetReader
from mmtrain.errors import ConfigError, DataError
from mmtrain.protocols import Augment, DataSource, Reader
from mmtrain.suggest import did_you_mean
from mmtrain.target import TargetSpec

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


def fit_targets(
    source: DataSource, readers: Mapping[str, TargetReader], *, skip: bool
) -> tuple[dict[str, TargetSpec], list[str]]:
    """Lets the reader of each target learn from the training rows; every cell must be one that it can read.

    Args:
        source: The rows; each has one of the targets at least.
        readers: By target.
        skip: Leaves a cell out that cannot be read, as if it were blank.

    Returns:
        What was learned, and notes: what was left out, tags that no row of a split has.

    Raises:
        DataError: The rows do not bear them out; tells the faults of all.
    """
    cells = {name: _cells(source, name) for name in readers}
    learned, notes, faults = {}, list[str](), list[str]()
    try:
        _require_one(source, cells)
    except DataError as error:
        faults.append(str(error))
    for name, reader in readers.items():
        try:
            learned[name], told = _fit_target(source, reader, name, cells[name], skip=skip)
            notes += told
        except DataError as error:
            faults.append(str(error))
    if faults:
        raise DataError("\n".join(faults))
    return learned, notes


def refuse_unknown(source: DataSource, reader: TargetReader, name: str, *, skip: bool) -> list[str]:
    """Raises a DataError where a row's target cannot be read or is none of those learned; a note with `skip`."""
    return _told(source, name, _refused(source, _cells(source, name), reader.encode), skip=skip)


def _cells(source: DataSource, name: str) -> TargetCells:
    """The cells of a target, asked for once however often they are looked at."""
    same = lru_cache(maxsize=10_000)(lambda value: value)  # labels repeat: one string each, not one a row
    return {split: [same(source.target(row, name)) for row in rows] for split, rows in source.splits.items()}


def _require_one(source: DataSource, cells: Mapping[str, TargetCells]) -> None:
    """Raises a DataError where a row that is to be learned from or judged has none of the targets."""
    labelled = {split: rows for split, rows in source.splits.items() if split != PREDICT}
    blank = [
        row
        for split, rows in labelled.items()
        for row, *values in zip(rows, *(own[split] for own in cells.values()), strict=True)
        if cells and values.count(None) == len(values)
    ]
    if blank:
        what = f"no `{next(iter(cells))}`" if len(cells) == 1 else f"none of `{'`, `'.join(cells)}`"
        told = f"{len(blank):,} of {sum(map(len, labelled.values())):,} rows have {what}"
        raise DataError(f"{told}: {places(source, blank)}; fill the cells in, or take the rows out of the table.")


def _fit_target(
    source: DataSource, reader: TargetReader, name: str, cells: TargetCells, *, skip: bool
) -> tuple[TargetSpec, list[str]]:
    bad = _refused(source, cells, reader.check)
    notes = _told(source, name, bad, skip=skip)
    train = zip(source.splits["train"], cells["train"], strict=True)
    try:
        spec = reader.fit(value for row, value in train if value is not None and row not in bad)
    except ValueError as error:
        raise DataError(f"{error}.") from None
    unknown = {row: told for row, told in _refused(source, cells, reader.encode).items() if row not in bad}
    notes += [*reader.remarks, *_told(source, name, unknown, skip=skip)]
    return spec, [*notes, *notes_on_target(source, cells, reader, spec)]


def _refused(source: DataSource, cells: TargetCells, read: Callable[[str], object]) -> dict[int, ValueError]:
    """Rows whose cell a function refuses, with its reason."""

    @lru_cache(maxsize=10_000)
    def reason(value: str | None) -> ValueError | None:
        if value is None:
            return None
        try:
            read(value)
        except ValueError as error:
            return error.with_traceback(None)
        return None

    return {
        row: told
        for split, rows in source.splits.items()
        for row, value in zip(rows, cells[split], strict=True)
        if (told := reason(value)) is not None
    }


def _told(source: DataSource, name: str, bad: Mapping[int, ValueError], *, skip: bool) -> list[str]:
    if not bad:
        return []
    reason = f"{places(source, list(bad))}: {str(next(iter(bad.values()))).rstrip('.')}"
    if skip:
        return [f"{len(bad):,} rows count as having no `{name}`; {reason}"]
    stop = "" if reason.endswith("?") else "."
    raise DataError(
        f"{reason}{stop} {len(bad):,} such rows; mend the cells, add training rows that have such a `{name}`, or leave"
        " the cells out with `on_bad_sample=skip`."
    )


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


def listed(names: Mapping[str, str] | Sequence[str]) -> str:
    """Names for a message."""
    return ", ".join(names) or "none"

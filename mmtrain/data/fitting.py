"""What the rows of a source bear out: learns signals and targets from them, and refuses what does not fit, by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from torch import nn

from mmtrain.contracts import Cell, SignalSpec, TargetSpec
from mmtrain.data.targets import TargetReader, target_reader
from mmtrain.errors import ConfigError, DataError
from mmtrain.protocols import Augment, DataSource, Reader
from mmtrain.suggest import did_you_mean

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


def fit_signal(source: DataSource, reader: Reader, name: str, train: Sequence[int]) -> SignalSpec:
    """Lets a reader learn from the training rows that have its modality."""
    present = [row for row in train if source.present(row, name)]
    if not present:
        raise DataError(f"`{name}` is missing in all {len(train):,} training rows; leave it out of `modalities`.")
    current: int | None = None

    def cells() -> Iterator[Cell]:
        nonlocal current
        for current in present:
            cell = source.cell(current, name)
            if cell is not None:
                yield cell
        current = None  # what is wrong now is wrong with all of them

    try:
        return reader.fit(cells())
    except (ValueError, OSError) as error:
        place = f"`{name}`" if current is None else source.place(current, name)
        raise DataError(f"{place}: {error}.") from None


def make_target(source: DataSource, kind: str, name: str) -> TargetReader:
    """The reader of a target that the source must have."""
    if name not in source.targets:
        hint = did_you_mean(name, source.targets)
        raise ConfigError(f"the task wants the target `{name}`; the data has {listed(source.targets)}.{hint}")
    try:
        return target_reader(kind, name)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def fit_target(source: DataSource, reader: TargetReader, name: str, train: Sequence[int]) -> TargetSpec:
    """Lets a target's reader learn from the training rows; every labelled row must have a value it knows."""
    labelled = [row for split, rows in source.splits.items() if split != PREDICT for row in rows]
    blank = [row for row in labelled if source.target(row, name) is None]
    if blank:
        rows = f"{len(blank):,} of {len(labelled):,} rows have no `{name}`"
        raise DataError(f"{rows}: {_places(source, blank)}; fill the cells in, or take the rows out of the table.")
    try:
        spec = reader.fit(value for row in train if (value := source.target(row, name)) is not None)
    except ValueError as error:
        raise DataError(f"{error}.") from None
    refuse_unknown(source, reader, name)
    return spec


def refuse_unknown(source: DataSource, reader: TargetReader, name: str) -> None:
    """Raises a DataError where a row's target is none of those learned."""
    unknown, message = [], ""
    for row in (row for rows in source.splits.values() for row in rows):
        value = source.target(row, name)
        try:
            if value is not None:
                reader.encode(value)
        except ValueError as error:
            unknown.append(row)
            message = message or str(error)
    if unknown:
        count = f"{len(unknown):,} such rows, none in training"
        raise DataError(f"{_places(source, unknown)}: {message} {count}; mend the labels or add training rows.")


def _places(source: DataSource, rows: Sequence[int]) -> str:
    more = f" and {len(rows) - 5:,} more" if len(rows) > 5 else ""
    return ", ".join(source.place(row) for row in rows[:5]) + more


def listed(names: Mapping[str, str] | Sequence[str]) -> str:
    """Names for a message."""
    return ", ".join(names) or "none"

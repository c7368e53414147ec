"""The rows of a source, read: readers and targets fitted on the training rows, one sample at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from mmtrain import seeding
from mmtrain.contracts import Cell, DataSpec, Draw, SignalSpec, TargetSpec
from mmtrain.data.collate import Sample
from mmtrain.data.targets import TargetReader, target_reader
from mmtrain.errors import CheckpointError, ConfigError, DataError
from mmtrain.protocols import DataSource, Reader
from mmtrain.suggest import did_you_mean

OnBadSample = Literal["error", "skip"]
ReaderFactory = Callable[[str], Reader]
PREDICT = "predict"  # the one split whose rows need no target
_NAME = re.compile(r"\w[\w-]*")


@dataclass(frozen=True)
class Data:
    """A source with the readers that turn its cells into tensors; made by `prepare` or `restore`.

    Args:
        source: The rows.
        readers: By modality, in the order of the spec.
        targets: By target name.
        spec: What encoders, heads and task are built from.
        on_bad_sample: `error` ends the run at a cell that cannot be read, `skip` gives its row weight 0 and lists it.
    """

    source: DataSource
    readers: Mapping[str, Reader]
    targets: Mapping[str, TargetReader]
    spec: DataSpec
    on_bad_sample: OnBadSample = "error"

    @classmethod
    def prepare(
        cls,
        source: DataSource,
        *,
        readers: Mapping[str, ReaderFactory],
        modalities: Sequence[str] | None,
        target_kinds: Mapping[str, str],
        on_bad_sample: OnBadSample = "error",
    ) -> Data:
        """Learns vocabularies, sizes and classes from the training rows, and checks the targets of every row.

        Args:
            source: The rows.
            readers: A factory of a reader for each modality in use.
            modalities: Those to use, in order; None: all that the source has.
            target_kinds: The kind of each target to read, by name.
            on_bad_sample: As in the class.

        Raises:
            ConfigError: An unknown modality or target, or one without a fitting reader.
            DataError: A modality or target that the rows do not bear out.
        """
        names = _choose(source, modalities)
        train = source.splits.get("train", ())
        if not train:
            raise DataError(f"no training rows; the splits are {', '.join(source.splits)} ({source.split_origin}).")
        built = {name: _build(source, readers, name) for name in names}
        signals = {name: _fit(source, reader, name, train) for name, reader in built.items()}
        targets = {name: _target(source, kind, name) for name, kind in target_kinds.items()}
        target_specs = {name: _fit_target(source, reader, name, train) for name, reader in targets.items()}
        return cls(source, built, targets, DataSpec(signals, target_specs, dict(source.ceilings)), on_bad_sample)

    @classmethod
    def restore(
        cls,
        source: DataSource,
        *,
        readers: Mapping[str, ReaderFactory],
        spec: DataSpec,
        on_bad_sample: OnBadSample = "error",
    ) -> Data:
        """Reads another source as the one that `spec` was learned from.

        It may lack modalities and targets: they are then absent from every row.

        Raises:
            DataError: It has none of the modalities, one of another kind, or labels that the spec does not know.
            CheckpointError: A reader cannot take its part of the spec.
        """
        if not any(name in source.kinds for name in spec.signals):
            raise DataError(f"none of the modalities {', '.join(spec.signals)} is there; found {_list(source.kinds)}.")
        built = {}
        for name, signal in spec.signals.items():
            if source.kinds.get(name, signal.kind) != signal.kind:
                raise DataError(f"`{name}` is {source.kinds[name]} here; the model was trained on {signal.kind}.")
            built[name] = _build(source, readers, name)
            try:
                built[name].restore(signal)
            except ValueError as error:
                raise CheckpointError(f"the stored spec does not fit `reader.{name}`: {error}.") from None
        targets = {name: target_reader(target.kind, name) for name, target in spec.targets.items()}
        for name, reader in targets.items():
            reader.restore(spec.targets[name])
            if name in source.targets:
                _refuse_unknown(source, reader, name)
        return cls(source, built, targets, spec, on_bad_sample)

    def sample(self, draw: Draw, train: bool) -> Sample:
        """Reads one row, as in `samples`."""
        return self.samples([draw], train)[0]

    def samples(self, draws: Sequence[Draw], train: bool) -> list[Sample]:
        """Reads rows, one modality after another: a decoder that stays in the CPU's caches is a third faster.

        `train` allows augmentation, seeded by the draw and the modality.

        Raises:
            DataError: A cell cannot be read, and `on_bad_sample` is `error`.
        """
        bad: dict[int, str] = {}
        columns: dict[str, list[Tensor | None]] = {name: [] for name in self.spec.signals}
        for name, column in columns.items():
            for place, draw in enumerate(draws):
                try:
                    column.append(self._read(draw, name, train))
                except DataError as error:
                    if self.on_bad_sample == "error":
                        raise
                    column.append(None)
                    bad.setdefault(place, str(error))
        return [
            self._skipped(draw, bad[place])
            if place in bad
            else Sample(
                self.source.ids[draw.row],
                {name: column[place] for name, column in columns.items()},
                {target: self._encode(draw.row, target) for target in self.spec.targets},
                draw.key,
                draw.weight,
            )
            for place, draw in enumerate(draws)
        ]

    def _skipped(self, draw: Draw, reason: str) -> Sample:
        nothing = dict.fromkeys(self.spec.signals), dict.fromkeys(self.spec.targets)
        return Sample(self.source.ids[draw.row], *nothing, key=draw.key, weight=0.0, skipped=reason)

    def missing(self) -> dict[str, dict[str, float]]:
        """The share of rows, from 0 to 1, that lack each modality, by split."""

        def share(rows: Sequence[int], name: str) -> float:
            return sum(not self._present(row, name) for row in rows) / max(1, len(rows))

        splits = self.source.splits.items()
        return {split: {name: share(rows, name) for name in self.spec.signals} for split, rows in splits}

    def _present(self, row: int, name: str) -> bool:
        return name in self.source.kinds and self.source.present(row, name)

    def _read(self, draw: Draw, name: str, train: bool) -> Tensor | None:
        if not self._present(draw.row, name):
            return None
        try:
            cell = self.source.cell(draw.row, name)
            key = seeding.key(draw.key, name) if train else None
            return None if cell is None else self.readers[name].read(cell, key)
        except (ValueError, OSError) as error:
            raise DataError(f"{self.source.place(draw.row, name)}: {error}") from None

    def _encode(self, row: int, name: str) -> int | None:
        value = self.source.target(row, name) if name in self.source.targets else None
        return None if value is None else self.targets[name].encode(value)


def _choose(source: DataSource, modalities: Sequence[str] | None) -> list[str]:
    names = list(source.kinds if modalities is None else modalities)
    if not names:
        found = "is empty" if modalities is not None else "is null, and the data has none"
        raise ConfigError(f"`modalities` {found}; the data has {_list(source.kinds)}.")
    for name in names:
        if name not in source.kinds:
            hint = did_you_mean(name, source.kinds)
            raise ConfigError(f"`modalities`: no '{name}' in the data; it has {_list(source.kinds)}.{hint}")
        if not _NAME.fullmatch(name) or hasattr(nn.ModuleDict(), name):
            raise DataError(
                f"modality '{name}': the name is also that of a part of the network, so it is made of letters, digits,"
                " '_' and '-', and no method of torch's ModuleDict; rename the column, or leave it out of `modalities`."
            )
    if len(set(names)) < len(names):
        raise ConfigError(f"`modalities` (={names}) names one twice.")
    return names


def _build(source: DataSource, readers: Mapping[str, ReaderFactory], name: str) -> Reader:
    if name not in readers:
        raise ConfigError(f"modality `{name}` has no reader; choose one with `reader/{name}=default`.")
    reader = readers[name](name)
    kind = source.kinds.get(name, reader.kind)
    if reader.kind != kind:
        raise ConfigError(f"`reader.{name}` reads {reader.kind}, but `{name}` is {kind}.")
    return reader


def _fit(source: DataSource, reader: Reader, name: str, train: Sequence[int]) -> SignalSpec:
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


def _target(source: DataSource, kind: str, name: str) -> TargetReader:
    if name not in source.targets:
        hint = did_you_mean(name, source.targets)
        raise ConfigError(f"the task wants the target `{name}`; the data has {_list(source.targets)}.{hint}")
    try:
        return target_reader(kind, name)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _fit_target(source: DataSource, reader: TargetReader, name: str, train: Sequence[int]) -> TargetSpec:
    labelled = [row for split, rows in source.splits.items() if split != PREDICT for row in rows]
    blank = [row for row in labelled if source.target(row, name) is None]
    if blank:
        rows = f"{len(blank):,} of {len(labelled):,} rows have no `{name}`"
        raise DataError(f"{rows}: {_places(source, blank)}; fill the cells in, or take the rows out of the table.")
    try:
        spec = reader.fit(value for row in train if (value := source.target(row, name)) is not None)
    except ValueError as error:
        raise DataError(f"{error}.") from None
    _refuse_unknown(source, reader, name)
    return spec


def _refuse_unknown(source: DataSource, reader: TargetReader, name: str) -> None:
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


def _list(names: Mapping[str, str] | Sequence[str]) -> str:
    return ", ".join(names) or "none"

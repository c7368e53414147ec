"""The rows of a source, read: readers and targets fitted on the training rows, one sample at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from mmtrain import seeding
from mmtrain.contracts import Cell, DataSpec, Draw, Tokens
from mmtrain.data.collate import Sample
from mmtrain.data.encoded import EncodedRows
from mmtrain.data.fitting import (
    AugmentFactory,
    ReaderFactory,
    build_augments,
    build_reader,
    choose,
    fit_signal,
    fit_targets,
    listed,
    refuse_unknown,
    require_target,
)
from mmtrain.data.readers.media import require_order
from mmtrain.data.store import Store
from mmtrain.data.target_notes import read_or_none
from mmtrain.data.targets.kinds import TargetReader
from mmtrain.errors import CheckpointError, DataError
from mmtrain.protocols import Augment, DataSource, Reader
from mmtrain.target import Target

OnBadSample = Literal["error", "skip"]


@dataclass(frozen=True)
class Data:
    """A source with the readers that turn its cells into tensors; made by `prepare` or `restore`.

    Args:
        source: The rows.
        readers: By modality, in the order of the spec.
        targets: By target name.
        spec: What encoders, heads and task are built from.
        on_bad_sample: `error` ends the run at a cell that cannot be read, `skip` gives its row weight 0 and lists it.
        augments: By modality, what changes its training samples; a modality left out is not changed.
        notes: What a person should know of the targets: cells left out, tags without rows.
        stores: By modality, where decoded samples are kept; one left out is decoded each time.
        encoded: By modality, what a frozen encoder has made of every row: `samples` gives that in place of it.
        moves: By target, what moves that of a training row, by the key of its draw, as an augmentation its picture.
        ordered: Modalities whose pictures are told by their number: in no row may a blank one stand before another.
    """

    source: DataSource
    readers: Mapping[str, Reader]
    targets: Mapping[str, TargetReader]
    spec: DataSpec
    on_bad_sample: OnBadSample = "error"
    augments: Mapping[str, Augment] = field(default_factory=dict)
    notes: Sequence[str] = ()
    stores: Mapping[str, Store] = field(default_factory=dict)
    encoded: Mapping[str, EncodedRows] = field(default_factory=dict)
    moves: Mapping[str, Callable[[Target, int], Target]] = field(default_factory=dict)
    ordered: frozenset[str] = frozenset()

    @classmethod
    def prepare(
        cls,
        source: DataSource,
        *,
        readers: Mapping[str, ReaderFactory],
        modalities: Sequence[str] | None,
        targets: Mapping[str, TargetReader],
        on_bad_sample: OnBadSample = "error",
        augments: Mapping[str, AugmentFactory] | None = None,
    ) -> Data:
        """Learns vocabularies, sizes and classes from the training rows, and checks the targets of every row.

        Args:
            source: The rows.
            readers: A factory of a reader for each modality in use.
            modalities: Those to use, in order; None: all that the source has.
            targets: A reader for each target to read, by name; a row may lack some of them, and not all.
            on_bad_sample: As in the class.
            augments: A factory for each modality whose training samples are to be changed.

        Raises:
            ConfigError: An unknown modality or target, or one without a fitting reader.
            DataError: A modality or target that the rows do not bear out.
        """
        names = choose(source, modalities)
        train = source.splits.get("train", ())
        if not train:
            raise DataError(f"no training rows; the splits are {', '.join(source.splits)} ({source.split_origin}).")
        built = {name: build_reader(source, readers, name) for name in names}
        for name in targets:
            require_target(source, name)
        signals, faults = {}, []  # faults: of all columns, before the first is told
        for name, reader in built.items():
            try:
                signals[name] = fit_signal(source, reader, name, train)
            except DataError as error:
                faults.append(str(error))
        try:
            learned, notes = fit_targets(source, targets, skip=on_bad_sample == "skip")
        except DataError as error:
            faults.append(str(error))
        if faults:
            raise DataError("\n".join(faults))
        spec = DataSpec(signals, learned, dict(source.ceilings))
        return cls(source, built, targets, spec, on_bad_sample, build_augments(augments, spec), notes)

    @classmethod
    def restore(
        cls,
        source: DataSource,
        *,
        readers: Mapping[str, ReaderFactory],
        targets: Mapping[str, TargetReader],
        spec: DataSpec,
        on_bad_sample: OnBadSample = "error",
        augments: Mapping[str, AugmentFactory] | None = None,
    ) -> Data:
        """Reads another source as the one that `spec` was learned from.

        It may lack modalities and targets: they are then absent from every row.

        Raises:
            DataError: It has none of the modalities, one of another kind, or labels that the spec does not know.
            CheckpointError: A reader cannot take its part of the spec.
        """
        if not any(name in source.kinds for name in spec.signals):
            raise DataError(f"none of the modalities {', '.join(spec.signals)} is there; found {listed(source.kinds)}.")
        built = {}
        for name, signal in spec.signals.items():
            if source.kinds.get(name, signal.kind) != signal.kind:
                raise DataError(f"`{name}` is {source.kinds[name]} here; the model was trained on {signal.kind}.")
            built[name] = build_reader(source, readers, name)
            try:
                built[name].restore(signal)
            except ValueError as error:
                raise CheckpointError(f"the stored spec does not fit `reader.{name}`: {error}.") from None
        notes = []
        for name, reader in targets.items():
            try:
                reader.restore(spec.targets[name])
            except (KeyError, ValueError) as error:
                raise CheckpointError(f"the stored spec does not fit the target `{name}`: {error}.") from None
            if name in source.targets:
                notes += refuse_unknown(source, reader, name, skip=on_bad_sample == "skip")
        return cls(source, built, targets, spec, on_bad_sample, build_augments(augments, spec), notes)

    def samples(self, draws: Sequence[Draw], train: bool) -> list[Sample]:
        """Reads rows, one modality after another: a decoder that stays in the CPU's caches is a third faster.

        `train` allows augmentation, seeded by the draw and the modality.

        Raises:
            DataError: A cell cannot be read, and `on_bad_sample` is `error`.
        """
        bad: dict[int, str] = {}
        columns: dict[str, list[Tensor | Tokens | None]] = {name: [] for name in self.spec.signals}
        for name, column in columns.items():
            for place, draw in enumerate(draws):
                try:
                    encoded = self.encoded.get(name)
                    column.append(encoded.tokens(draw.row) if encoded else self._read(draw, name, train))
                except DataError as error:
                    if self.on_bad_sample == "error":
                        hint = "mend the file, or leave such rows out with `on_bad_sample=skip`"
                        raise DataError(f"{str(error).rstrip('.')}; {hint}.") from None
                    column.append(None)
                    bad.setdefault(place, str(error))
        return [
            self._skipped(draw, bad[place])
            if place in bad
            else Sample(
                self.source.ids[draw.row],
                {name: column[place] for name, column in columns.items()},
                {target: self._target(draw, target, train) for target in self.spec.targets},
                draw.key,
                draw.weight,
            )
            for place, draw in enumerate(draws)
        ]

    def _skipped(self, draw: Draw, reason: str) -> Sample:
        absent = {name: self.targets[name].absent() for name in self.spec.targets}
        nothing = dict.fromkeys(self.spec.signals)
        return Sample(self.source.ids[draw.row], nothing, absent, key=draw.key, weight=0.0, skipped=reason)

    def missing(self) -> dict[str, dict[str, float]]:
        """The share of rows, from 0 to 1, that lack each modality, by split."""

        def share(rows: Sequence[int], name: str) -> float:
            return sum(not self.present(row, name) for row in rows) / max(1, len(rows))

        splits = self.source.splits.items()
        return {split: {name: share(rows, name) for name in self.spec.signals} for split, rows in splits}

    def read(self, row: int, name: str) -> Tensor | None:
        """One cell as the encoder gets it, not augmented; None where the row lacks the modality.

        Raises:
            DataError: It cannot be read.
        """
        return self._read(Draw(row, 0), name, train=False)

    def decode(self, row: int, name: str) -> Tensor | None:
        """What one cell holds, as its reader decodes it; None where the row lacks the modality.

        Raises:
            DataError: It cannot be decoded.
        """
        if not self.present(row, name):
            return None
        try:
            cell = self.cell(row, name)
            if cell is None:
                return None
            if name in self.ordered:
                require_order(cell)
            decode = self.readers[name].decode
            return self.stores[name].decoded(cell, decode) if name in self.stores else decode(cell)
        except (ValueError, OSError) as error:
            raise DataError(f"{self.source.place(row, name)}: {error}") from None

    def cell(self, row: int, name: str) -> Cell | None:
        """What `decode` decodes."""
        return self.source.cell(row, name)

    def present(self, row: int, name: str) -> bool:
        """Whether a row has a modality."""
        return name in self.source.kinds and self.source.present(row, name)

    def _read(self, draw: Draw, name: str, train: bool) -> Tensor | None:
        values = self.decode(draw.row, name)
        if values is None:
            return None
        try:
            reader = self.readers[name]
            if train:
                key = seeding.key(draw.key, name)
                vary = getattr(reader, "vary", None)  # isinstance of `Varying` takes 25 us in Python 3.11
                values = vary(values, key) if vary is not None else values
                values = self.augments[name](values, key) if name in self.augments else values
            return reader.finish(values)
        except ValueError as error:
            raise DataError(f"{self.source.place(draw.row, name)}: {error}") from None

    def _target(self, draw: Draw, name: str, train: bool) -> Target:
        reader = self.targets[name]
        value = self.source.target(draw.row, name) if name in self.source.targets else None
        read = None if value is None else read_or_none(reader, value, seeding.key(draw.key, name) if train else None)
        read = reader.absent() if read is None else read
        return self.moves[name](read, draw.key) if train and name in self.moves else read

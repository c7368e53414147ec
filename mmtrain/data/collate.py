"""Puts samples together to a batch: padding, absence and weight all end as masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmtrain.contracts import Batch, DataSpec, Signal, SignalSpec, Tokens
from mmtrain.rows import joined_targets
from mmtrain.target import Target


class Sample(NamedTuple):
    """One row after its readers."""

    id: str
    values: Mapping[str, Tensor | Tokens | None]  # by modality: as read, or encoded; None: the row lacks it
    targets: Mapping[str, Target]  # of one row each
    key: int
    weight: float = 1.0
    skipped: str | None = None  # why the row counts for nothing, where it could not be read


def collate(samples: Sequence[Sample], spec: DataSpec) -> Batch:
    """Stacks the samples in their order, with an all-False mask and zeros where one lacks a modality."""
    signals: dict[str, Signal | Tokens] = {}
    rows = {}
    for name, signal_spec in spec.signals.items():
        column = [sample.values[name] for sample in samples]
        present = [row for row, values in enumerate(column) if values is not None]
        if any(isinstance(values, Tokens) for values in column):
            signals[name] = _tokens(cast(list[Tokens | None], column))
        else:
            signals[name] = signal_of(cast(list[Tensor | None], column), signal_spec)
        rows[name] = None if len(present) == len(column) else torch.tensor(present, dtype=torch.int64)
    return Batch(
        signals=signals,
        targets={name: joined_targets([sample.targets[name] for sample in samples]) for name in spec.targets},
        ids=[sample.id for sample in samples],
        keys=torch.tensor([sample.key for sample in samples], dtype=torch.int64),
        weight=torch.tensor([sample.weight for sample in samples], dtype=torch.float32),
        rows=rows,
        skipped=[(sample.id, sample.skipped) for sample in samples if sample.skipped is not None],
    )


def signal_of(column: Sequence[Tensor | None], spec: SignalSpec) -> Signal:
    """One modality of some rows, None where a row lacks it."""
    if spec.columns:
        return _table(column, spec)
    return _pad(column, spec) if spec.length > 1 else _stack(column, spec)


def _tokens(column: list[Tokens | None]) -> Tokens:
    """Tokens of single rows, [L,D] each: values [B,longest L,D], mask, and positions if they have some."""
    absent = next(tokens for tokens in column if tokens is not None).each(lambda part: part[:0])
    rows = [absent if tokens is None else tokens for tokens in column]
    values = pad_sequence([row.values for row in rows], batch_first=True)
    mask = pad_sequence([row.mask for row in rows], batch_first=True)
    positions = [row.positions for row in rows if row.positions is not None]
    return Tokens(values, mask, pad_sequence(positions, batch_first=True) if positions else None)


def _stack(column: Sequence[Tensor | None], spec: SignalSpec) -> Signal:
    """Samples of one fixed shape: values [B,*shape], mask [B,1]."""
    absent = torch.zeros(spec.shape, dtype=_dtype(column, spec))
    values = torch.stack([absent if sample is None else sample for sample in column])
    return Signal(values, torch.tensor([[sample is not None] for sample in column]))


def _table(column: Sequence[Tensor | None], spec: SignalSpec) -> Signal:
    """Rows of columns, nan where a cell is blank: values [B,columns], 0 there, and mask [B,columns]."""
    blank = torch.full((len(spec.columns),), torch.nan)
    values = torch.stack([blank if sample is None else sample for sample in column])
    mask = ~values.isnan()
    return Signal(torch.where(mask, values, 0), mask)


def _pad(column: Sequence[Tensor | None], spec: SignalSpec) -> Signal:
    """Samples [T,*shape] of different T: values [B,longest T,*shape], mask [B,longest T]."""
    absent = torch.zeros(0, *spec.shape, dtype=_dtype(column, spec))
    samples = [absent if sample is None else sample for sample in column]
    lengths = torch.tensor([len(sample) for sample in samples])
    if not bool(lengths.any()):
        samples = [absent.new_zeros(1, *spec.shape)] * len(column)  # a signal has one step at least
    values = pad_sequence(samples, batch_first=True)
    return Signal(values, torch.arange(values.shape[1]) < lengths.unsqueeze(1))


def _dtype(column: Sequence[Tensor | None], spec: SignalSpec) -> torch.dtype:
    """That of the samples; where all are absent, ids where there is a vocabulary."""
    found = next((sample.dtype for sample in column if sample is not None), None)
    return found or (torch.int64 if spec.vocabulary else torch.float32)

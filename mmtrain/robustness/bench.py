"""A trained model over a split, again and again: only what a question changes is computed anew.

Every modality is encoded once and its tokens are kept. Leaving one out, or lending it another sample's, then costs a
fusion and a head; making one worse costs its own encoder besides. That is exact: in evaluation no row and no other
modality can change the tokens of a row. Kept are rows x tokens x width x 4 bytes a modality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from mmtrain.build import build_data
from mmtrain.contracts import Batch, DataSpec, Outputs, Results, Signal, SignalSpec, Tokens
from mmtrain.data.dataset import Data
from mmtrain.data.fitting import refuse_many
from mmtrain.errors import ConfigError
from mmtrain.evaluation import clip_counts, evaluate
from mmtrain.model import MultimodalModel
from mmtrain.protocols import DataSource
from mmtrain.robustness.altered import Absent, AlteredData, Corruption
from mmtrain.trained import TrainedRun


class _Kept(NamedTuple):
    """The tokens of one modality of one row, on the CPU."""

    values: Tensor  # [L,width]
    mask: Tensor  # [L]
    positions: Tensor | None  # [L,3]


class Bench:
    """Scores a split under changes of what the model gets to see.

    Args:
        trained: The run.
        split: The split of its data.
        most: How many rows of it, evenly spaced; None: all.

    Raises:
        ConfigError: The data have no such split, or the score of the whole is not a number.
    """

    def __init__(self, trained: TrainedRun, split: str, most: int | None = None) -> None:
        self.trained, self.split = trained, split
        self.source: DataSource = trained.source()
        self.names = trained.model.modalities
        self.metric, self.higher = trained.task.metric, trained.task.higher_is_better
        self._memory = _Memory(trained.model, trained.spec)
        self.data: Data = build_data(trained.config, self.source, trained.spec)
        if clips := clip_counts(self.data):
            raise ConfigError(
                f"`reader.{next(iter(clips))}.clips`: rows of several clips are not judged here; train with 1."
            )
        self.rows = self._rows(split, most)
        self.clean = self._evaluate(self.data, self._memory, self.rows)
        refuse_many(dict(self.clean.skipped), len(self.rows), split, trained.settings.max_bad_fraction)
        readable = set(self.clean.ids)  # with `on_bad_sample=skip`, one that is not must stay out of every evaluation
        self.rows = [row for row in self.rows if self.source.ids[row] in readable]
        scores = trained.task.metrics(self.clean)
        self.score, self.error = scores[self.metric], scores.get(f"{self.metric}_se")
        if self.score != self.score:
            raise ConfigError(
                f"`{self.metric}` of these {len(self.clean.ids):,} rows is not defined; choose more rows."
            )

    def present(self, name: str) -> list[str]:
        """Ids of the rows that have the modality."""
        return [row for row in self.clean.ids if self._memory.tokens[name][row].mask.any()]

    def means(self, name: str) -> Tensor:
        """The mean token of each row [N,width], 0 where it lacks the modality."""
        kept = [self._memory.tokens[name][row] for row in self.clean.ids]
        return torch.stack([one.values.sum(dim=0) / one.mask.sum().clamp(min=1) for one in kept])

    def mean_token(self, name: str) -> Tensor:
        """The mean of all tokens of the modality: [width]."""
        kept = [self._memory.tokens[name][row] for row in self.clean.ids]
        total: Tensor = sum((one.values.sum(dim=0) for one in kept), torch.zeros(self.trained.model.width))
        return total / max(1, sum(int(one.mask.sum()) for one in kept))

    def corrupted(self, corruption: Corruption, level: float, decoded: dict[int, Tensor | None]) -> float:
        """The score with one modality made worse."""
        blank = self._memory.blank
        data = AlteredData.of(self.data, blank, corruption=corruption, level=level, decoded=decoded)
        return self._again(data, _Recalled(self._memory, fresh=corruption.modality))

    def without(self, absent: Absent) -> float:
        """The score where some modalities of some rows are hidden; of a row that has them, as if it had not."""
        data = AlteredData.of(self.data, self._memory.blank, absent=absent)
        return self._again(data, _Recalled(self._memory))

    def lent(self, name: str, lender: Mapping[str, str]) -> float:
        """The score where rows get a modality from another row: id -> id of the lender."""
        data = AlteredData.of(self.data, self._memory.blank, lent={name: lender})
        return self._again(data, _Recalled(self._memory, lent={name: lender}))

    def _rows(self, split: str, most: int | None) -> list[int]:
        if split not in self.source.splits:
            raise ConfigError(f"`split={split}`: the data has {', '.join(self.source.splits)}.")
        rows = list(self.source.splits[split])
        return rows if most is None or most >= len(rows) else [rows[n * len(rows) // most] for n in range(most)]

    def _again(self, data: Data, model: nn.Module) -> float:
        results = self._evaluate(data, model, self.rows)
        assert results.ids == self.clean.ids, "an evaluation counts the rows of the first one, each once"
        return self._score(results)

    def _evaluate(self, data: Data, model: nn.Module, rows: Sequence[int]) -> Results:
        size = 4 * self.trained.settings.trainer.batch_size
        return evaluate(model, data, self.trained.task, rows, compute=self.trained.compute, batch_size=size)

    def _score(self, results: Results) -> float:
        return self.trained.task.metrics(results)[self.metric]


class _Memory(nn.Module):
    """The model as it is, keeping the tokens of every row it sees, and how long its samples are."""

    def __init__(self, model: MultimodalModel, spec: DataSpec) -> None:
        super().__init__()
        self.model, self.spec = model, spec
        self.tokens: dict[str, dict[str, _Kept]] = {name: {} for name in model.modalities}
        self.blank: dict[str, dict[str, Tensor | None]] = {name: {} for name in model.modalities}
        self.eval()  # else the model would be put into training after each evaluation

    def forward(self, batch: Batch) -> Outputs:
        tokens = {name: self.model.encode_one(name, batch) for name in self.model.modalities}
        for name, (values, mask, positions) in tokens.items():
            where = None if positions is None else positions.cpu()
            for number, row in enumerate(batch.ids):
                place = None if where is None else where[number]
                self.tokens[name][row] = _Kept(values[number].float().cpu(), mask[number].cpu(), place)
                self.blank[name][row] = _blank(cast(Signal, batch.signals[name]), number, self.spec.signals[name])
        return self.model.read(self.model.join(self.model.filled(tokens)), batch)


class _Recalled(nn.Module):
    """The model with the tokens it has made before, but for the modality to encode from the batch.

    Args:
        memory: Where they are.
        fresh: That modality.
        lent: By modality and id, whose tokens a row gets.
    """

    def __init__(
        self, memory: _Memory, *, fresh: str | None = None, lent: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        super().__init__()
        self.model, self.kept = memory.model, memory.tokens
        self.fresh, self.lent = fresh, lent or {}
        self.eval()

    def forward(self, batch: Batch) -> Outputs:
        tokens = {}
        for name in self.model.modalities:
            if name == self.fresh:
                tokens[name] = self.model.encode_one(name, batch)
                continue
            lender = self.lent.get(name, {})
            rows = [self.kept[name][lender.get(row, row)] for row in batch.ids]
            tokens[name] = _stacked(rows, batch.signals[name].mask.any(dim=1))
        return self.model.read(self.model.join(self.model.filled(tokens)), batch)


def _blank(signal: Signal, row: int, spec: SignalSpec) -> Tensor | None:
    """A sample of zeros as long as that of a row, in no memory; None where the row lacks it; a table row as it is."""
    mask, values = signal.mask[row].cpu(), signal.values[row]
    if not mask.any():
        return None
    if spec.columns:
        return torch.where(mask, values.cpu(), torch.nan)
    steps = values[: int(mask.sum())] if spec.length > 1 else values
    return torch.zeros((), dtype=values.dtype).expand(steps.shape)


def _stacked(rows: Sequence[_Kept], present: Tensor) -> Tokens:
    """The tokens of the rows as a batch [B,L,width], none where `present` [B] is False."""
    device = present.device
    mask = pad_sequence([row.mask for row in rows], batch_first=True).to(device) & present.unsqueeze(1)  # [B,L]
    values = pad_sequence([row.values for row in rows], batch_first=True).to(device)  # [B,L,width]
    where = [row.positions for row in rows if row.positions is not None]
    positions = pad_sequence(where, batch_first=True).to(device) if len(where) == len(rows) else None
    return Tokens(torch.where(mask.unsqueeze(-1), values, 0), mask, positions)

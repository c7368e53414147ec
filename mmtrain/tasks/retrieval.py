"""Retrieval: one space for all modalities, in which what belongs together lies close together."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Annotated, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmtrain.contracts import Batch, DataSpec, Fused, Outputs, Range, Results, Rows
from mmtrain.similarity import nearest, search

_HOTTEST = 100.0  # the scale is held below it, as in CLIP
_APART = -1e4  # in place of -inf, of which a whole row would be nan in softmax


class Retrieval:
    """Learns a vector of every modality, so that the vectors of a row are more alike than those of different rows.

    With u, v unit vectors of two modalities, P the rows that match a row (itself, and with `target` all of its label):

    - `clip`: the mean over P of -log softmax(s u·v), both ways (Radford et al. 2021, https://arxiv.org/abs/2103.00020;
      several matches as in Khosla et al. 2020, https://arxiv.org/abs/2004.11362, equation 2).
    - `siglip`: the sum over all rows of -log sigmoid(z (s u·v + b)), z = 1 in P and -1 elsewhere (Zhai et al. 2023,
      https://arxiv.org/abs/2303.15343); it does well with small batches.

    s and b are learned, s is at most 100. A row is held against the others of its part of a batch only: accumulation
    and several processes leave each row fewer to be told from, and are not the same as one large batch. Rows that lack
    one modality of a pair are left out of that pair.

    Args:
        spec: Facts about the data; it has two modalities at least.
        target: A column of labels; rows of equal label match. None: a row matches itself alone.
        pairs: The pairs of modalities to compare, such as [[text, image]]; None: all.
        embedding: E, the length of the vectors.
        loss: `clip` or `siglip`, as above.
        metric: Chooses the best checkpoint; `precision_at_1` needs a target.
        dropout: On the vectors that enter the last layer.

    Raises:
        ValueError: Fewer than two modalities, a pair that the data does not have, or `precision_at_1` without a target.
    """

    target_kind = "class"
    target_optional = True

    def __init__(
        self,
        spec: DataSpec,
        *,
        target: str | None = None,
        pairs: list[list[str]] | None = None,
        embedding: Annotated[int, Range(1, 65536)] = 128,
        loss: Literal["clip", "siglip"] = "siglip",
        metric: Literal["recall_at_1", "recall_at_5", "recall_at_10", "precision_at_1", "median_rank"] = "recall_at_1",
        dropout: Annotated[float, Range(0, 1)] = 0.0,
    ) -> None:
        names = list(spec.signals)
        if len(names) < 2:
            raise ValueError(f"retrieval compares two modalities at least; the data has {', '.join(names)}")
        for pair in pairs or ():
            if len(set(pair)) != 2 or len(pair) != 2 or not set(pair) <= set(names):
                raise ValueError(f"`pairs` (={pairs}): expected two of {', '.join(names)} in each")
        if metric == "precision_at_1" and target is None:
            raise ValueError("`metric` (=precision_at_1) compares labels; name their column as `target`")
        self.target = target
        self.targets = () if target is None else (spec.target(target).name,)
        self.pairs = [(a, b) for a, b in (pairs or combinations(names, 2))]
        self.modalities = tuple(name for name in names if any(name in pair for pair in self.pairs))
        self.embedding, self.dropout, self.sigmoid = embedding, dropout, loss == "siglip"
        self.metric, self.higher_is_better = metric, metric != "median_rank"

    def make_head(self, width: int) -> nn.Module:
        """A norm, dropout and a linear layer for each modality: unit vectors [B,E] by name, and the scale."""
        return RetrievalHead(self.modalities, width, self.embedding, dropout=self.dropout, bias=self.sigmoid)

    def weight(self, batch: Batch) -> float:
        """The rows that have both of a pair, as a mean over the pairs."""
        return float(sum((_both(batch, pair) * batch.weight).sum() for pair in self.pairs)) / len(self.pairs)

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Sum over the rows of the mean over the pairs; a scalar."""
        given = cast(dict[str, Outputs], outputs)
        vectors, scale = cast(dict[str, Tensor], given["vectors"]), cast(Tensor, given["scale"])[0]
        matches = self._matches(batch)
        total = batch.weight.new_zeros(())
        for pair in self.pairs:
            both = _both(batch, pair)  # [B]
            kept = both.unsqueeze(0) & both.unsqueeze(1)  # [B,B]
            scores = scale * (vectors[pair[0]] @ vectors[pair[1]].T)
            if self.sigmoid:
                losses = _sigmoid_losses(scores + cast(Tensor, given["bias"])[0], matches, kept)
            else:
                losses = _softmax_losses(scores, matches, kept)
            total = total + torch.where(both, losses * batch.weight, 0).sum()
        return total / len(self.pairs)

    def _matches(self, batch: Batch) -> Tensor:
        """Which rows belong together: [B,B] bool."""
        own = torch.eye(len(batch.weight), dtype=torch.bool, device=batch.weight.device)
        if not self.targets:
            return own
        target = batch.targets[self.targets[0]]
        same = target.tensor.unsqueeze(0) == target.tensor.unsqueeze(1)
        return own | (same & target.mask.unsqueeze(0) & target.mask.unsqueeze(1))

    def collect(self, outputs: Outputs, batch: Batch) -> Rows:
        """The vectors of each modality, [B,E]; nan where a row lacks it."""
        vectors = cast(dict[str, Tensor], cast(dict[str, Outputs], outputs)["vectors"])
        present = {name: batch.signals[name].mask.any(dim=1, keepdim=True) for name in self.modalities}
        return {name: torch.where(present[name], vectors[name], torch.nan).cpu() for name in self.modalities}

    def vectors(self, results: Results) -> dict[str, np.ndarray]:
        """The vectors [N,E] of each modality; nan where a row lacks it."""
        return {name: cast(Tensor, part).numpy() for name, part in cast(dict[str, Rows], results.outputs).items()}

    def metrics(self, results: Results) -> dict[str, float]:
        """Recall and median rank of a row's own partner among all rows that have one, each way and as a mean.

        Of n vectors that are equally like it, each stands in the middle of the places that they share. With labels also
        the share of rows whose nearest one has their label. `chance_` is what a random order would score.
        """
        vectors, labels = self.vectors(results), self._labels(results)
        ways = [way for a, b in self.pairs for way in ((a, b), (b, a))]
        scores = [search(vectors[a], vectors[b], labels) for a, b in ways]
        mean = {name: sum(score[name] for score in scores) / len(scores) for name in scores[0]}
        named = {
            f"{a}_to_{b}_{name}": value
            for (a, b), score in zip(ways, scores, strict=True)
            for name, value in score.items()
            if not name.startswith("chance")
        }
        return {**mean, **named}

    def _labels(self, results: Results) -> np.ndarray | None:
        """The class of each row, -1 where it has none; None without a target."""
        if not self.targets:
            return None
        target = results.targets[self.targets[0]]
        return torch.where(target.mask, target.tensor, -1).numpy()

    def table(self, results: Results) -> dict[str, list[str] | list[float]]:
        """The id of the row that the first modality of the first pair finds by the second, and all vectors as JSON."""
        vectors = self.vectors(results)
        first, second = self.pairs[0]
        near = nearest(vectors[first], vectors[second], count=1)
        columns: dict[str, list[str] | list[float]] = {
            "prediction": [results.ids[found[0][0]] if found else "" for found in near]
        }
        for name, rows in vectors.items():
            columns[f"{name}_vector"] = [
                "" if np.isnan(row[0]) else json.dumps([float(f"{value:.5g}") for value in row]) for row in rows
            ]
        return columns


class RetrievalHead(nn.Module):
    """One projection a modality from the vectors before any exchange; the scale, and a bias for the sigmoid loss."""

    def __init__(self, names: Sequence[str], width: int, embedding: int, *, dropout: float, bias: bool) -> None:
        super().__init__()
        self.projections = nn.ModuleDict(
            {n: nn.Sequential(nn.LayerNorm(width), nn.Dropout(dropout), nn.Linear(width, embedding)) for n in names}
        )
        # The first values of the papers: temperature .07 for softmax; scale 10 and bias -10 for the sigmoid.
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0 if bias else 1 / 0.07)))
        self.bias = nn.Parameter(torch.tensor(-10.0)) if bias else None

    def forward(self, fused: Fused) -> Outputs:
        """Returns `vectors` [B,E] by modality, `scale` [B], and `bias` [B] where there is one."""
        vectors: dict[str, Outputs] = {
            name: F.normalize(projection(fused.by_modality[name]).float(), dim=1)
            for name, projection in self.projections.items()
        }
        rows = len(fused.pooled)
        outputs: dict[str, Outputs] = {
            "vectors": vectors,
            "scale": self.log_scale.clamp(max=math.log(_HOTTEST)).exp().expand(rows),
        }
        return outputs if self.bias is None else {**outputs, "bias": self.bias.expand(rows)}


def _both(batch: Batch, pair: Sequence[str]) -> Tensor:
    """Which rows have both modalities, and count: [B]."""
    masks: Mapping[str, Tensor] = {name: batch.signals[name].mask.any(dim=1) for name in pair}
    return masks[pair[0]] & masks[pair[1]] & (batch.weight > 0)


def _softmax_losses(scores: Tensor, matches: Tensor, kept: Tensor) -> Tensor:
    """The loss of each row, both ways: scores, matches and kept [B,B] -> [B]."""
    matches = matches & kept
    scores = scores.masked_fill(~kept, _APART)
    count = matches.sum(dim=1).clamp(min=1)

    def one_way(values: Tensor) -> Tensor:
        return -torch.where(matches, values.log_softmax(dim=1), 0).sum(dim=1) / count

    return (one_way(scores) + one_way(scores.T)) / 2


def _sigmoid_losses(logits: Tensor, matches: Tensor, kept: Tensor) -> Tensor:
    """The loss of each row of the first modality: logits, matches and kept [B,B] -> [B]."""
    signed = torch.where(matches, logits, -logits)
    return -torch.where(kept, F.logsigmoid(signed), 0).sum(dim=1)

"""Tagging: any number of K tags a sample, each said or left out by a threshold that validation decides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmtrain.contracts import Batch, DataSpec, Range, Results, Rows
from mmtrain.layers import LinearHead

_SMALLEST = 1e-8  # keeps logarithms and their gradients finite


class Tagging:
    """Any number of tags a sample.

    Binary cross-entropy: the mean over the tags of -w y log p - (1 - y) log(1 - p), w the weight of positives.
    Asymmetric loss, for many tags of which few are true (Ridnik et al. 2021, "Asymmetric Loss For Multi-Label
    Classification", https://arxiv.org/abs/2009.14119): -y (1 - p)^a log p - (1 - y) q^b log(1 - q), q = max(p - m, 0).

    Args:
        spec: Facts about the data; K is the number of tags of the target.
        target: The target column it learns; None: the only one that the data has.
        separator: Between the tags of a cell, with any blanks around it; `json`: the cell is a JSON list of strings.
        min_count: A tag that fewer training rows have is not learned, and left out wherever it stands.
        metric: Chooses the best checkpoint.
        loss: `bce` or `asymmetric`, as above.
        positive_weights: `balanced` weighs the positives of a tag by its negatives / its positives, in `bce`; those of
            a tag on every training row by 1.
        gamma_positive: a of the asymmetric loss.
        gamma_negative: b of the asymmetric loss.
        margin: m of the asymmetric loss: a negative with a smaller probability counts nothing.
        thresholds: `one` for all tags, of the greatest micro F1 on the validation rows, or one a `tag`, of its own F1.
        dropout: On the fused vector, before the last layer.

    Raises:
        ValueError: `positive_weights` with the asymmetric loss, which weighs positives by its own rule.
    """

    target_kind = "multilabel"
    target_options = ("separator", "min_count")
    higher_is_better = True

    def __init__(
        self,
        spec: DataSpec,
        *,
        target: str | None = None,
        separator: str = "|",
        min_count: Annotated[int, Range(1)] = 1,
        metric: Literal["mean_average_precision", "micro_f1", "macro_f1"] = "mean_average_precision",
        loss: Literal["bce", "asymmetric"] = "bce",
        positive_weights: Literal["none", "balanced"] = "none",
        gamma_positive: Annotated[float, Range(0, 100)] = 0.0,
        gamma_negative: Annotated[float, Range(0, 100)] = 4.0,
        margin: Annotated[float, Range(0, 1)] = 0.05,
        thresholds: Literal["one", "tag"] = "one",
        dropout: Annotated[float, Range(0, 1)] = 0.0,
    ) -> None:
        if loss == "asymmetric" and positive_weights != "none":
            raise ValueError(f"`positive_weights` (={positive_weights}) is for loss=bce; set it to none")
        facts = spec.target(target)
        self.target, self.targets, self.metric = facts.name, (facts.name,), metric
        self.tags, self.separator = facts.classes, separator
        self.asymmetric, self.gammas, self.margin = loss == "asymmetric", (gamma_positive, gamma_negative), margin
        self.one_threshold, self.dropout = thresholds == "one", dropout
        counts = torch.tensor(facts.counts, dtype=torch.float32)
        self.positive_weight = torch.ones(len(self.tags))  # [K]
        self.log_odds = torch.log((counts + 0.5) / (facts.rows - counts + 0.5))  # [K]; 0.5: a tag may be on every row
        if positive_weights == "balanced":
            lacking = facts.rows - counts  # 0: the tag is on every row, and has nothing to be balanced against
            self.positive_weight = torch.where(lacking > 0, lacking / counts, 1.0)
            self.log_odds = torch.where(lacking > 0, 0.0, self.log_odds)
        self._thresholds = [0.5] * len(self.tags)

    def make_head(self, width: int) -> nn.Module:
        """A norm, dropout and one linear layer: [B,width] -> logits [B,K].

        Its bias starts at the logarithm of the odds of each tag in training, so that no step is spent on learning how
        rare tags are; Lin et al. 2017, section 4.1, https://arxiv.org/abs/1708.02002, start all of them at equal odds.
        """
        head = LinearHead(width, len(self.tags), dropout=self.dropout)
        last = head.layers[-1]
        assert isinstance(last, nn.Linear)
        last.bias.data.copy_(self.log_odds)
        return head

    def weight(self, batch: Batch) -> float:
        """The rows that have the target and count."""
        return float((batch.targets[self.target].mask * batch.weight).sum())

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Sum over the rows that have the target of the mean loss of their tags; a scalar."""
        target, logits = batch.targets[self.target], outputs.float()
        truth = target.tensor  # [B,K]
        if self.asymmetric:
            losses = asymmetric_loss(logits, truth, self.gammas, self.margin)
        else:
            weight = self.positive_weight.to(logits.device)
            losses = F.binary_cross_entropy_with_logits(logits, truth, pos_weight=weight, reduction="none")
        weights = target.mask * batch.weight  # [B]
        # where, not a product alone: a filling row must not turn the sum into nan
        return torch.where(weights > 0, losses.mean(dim=1) * weights, 0).sum()

    def likelihood(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The mean over the tags of the probability that the outputs give to what is true: [B]."""
        truth, probabilities = batch.targets[self.target].tensor, outputs.float().sigmoid()
        return (truth * probabilities + (1 - truth) * (1 - probabilities)).mean(dim=1)

    def collect(self, outputs: Tensor, batch: Batch) -> Rows:
        """The logits, [B,K]."""
        return outputs.float().cpu()

    def pooled(self, clips: Sequence[Rows]) -> Rows:
        """Logits whose sigmoid is the mean of the clips' probabilities: [N,K]."""
        each = torch.stack([cast(Tensor, clip) for clip in clips])
        return F.logsigmoid(each).logsumexp(dim=0) - F.logsigmoid(-each).logsumexp(dim=0)

    def calibrate(self, results: Results) -> None:
        """Takes the thresholds that are best on these rows; a tag that none of them has gets the one of all tags."""
        truth, probabilities = self._known(results)
        if not truth.any():
            return
        common = best_threshold(truth.ravel(), probabilities.ravel())
        self._thresholds = [
            common if self.one_threshold or not truth[:, tag].any() else best_threshold(truth[:, tag], column)
            for tag, column in enumerate(probabilities.T)
        ]

    def calibration(self) -> dict[str, list[float]]:
        """`thresholds`, one a tag; 0.5 before validation has decided."""
        return {"thresholds": self._thresholds}

    def restore(self, calibration: Mapping[str, Sequence[float]]) -> None:
        """Takes the thresholds of a checkpoint."""
        found = list(calibration.get("thresholds", ()))
        if len(found) != len(self.tags) or len(calibration) > 1:
            raise ValueError(f"expected {len(self.tags)} `thresholds`, found {len(found)}")
        self._thresholds = found

    def metrics(self, results: Results) -> dict[str, float]:
        """Mean average precision, micro and macro F1; means over tags are over those that a row of the split has."""
        from sklearn.metrics import average_precision_score, f1_score

        truth, probabilities = self._known(results)
        said = probabilities >= np.asarray(self._thresholds)
        having = truth.any(axis=0)
        if not having.any():
            return dict.fromkeys(("mean_average_precision", "micro_f1", "macro_f1"), float("nan"))
        precision = average_precision_score(truth[:, having], probabilities[:, having], average="macro")
        return {
            "mean_average_precision": float(precision),
            "micro_f1": float(f1_score(truth, said, average="micro", zero_division=0)),
            "macro_f1": float(f1_score(truth[:, having], said[:, having], average="macro", zero_division=0)),
        }

    def table(self, results: Results) -> dict[str, list[str] | list[float]]:
        """The tags above their thresholds, written as in the target column, and the probability of every tag."""
        probabilities = results.tensor.sigmoid()  # [N,K]
        said = probabilities.numpy() >= np.asarray(self._thresholds)
        named = [[tag for tag, yes in zip(self.tags, row, strict=True) if yes] for row in said]
        columns: dict[str, list[str] | list[float]] = {"prediction": list(map(self._written, named))}
        for number, tag in enumerate(self.tags):
            columns[f"p_{tag}"] = probabilities[:, number].tolist()
        return columns

    def _written(self, tags: Sequence[str]) -> str:
        return json.dumps(tags, ensure_ascii=False) if self.separator == "json" else self.separator.join(tags)

    def _known(self, results: Results) -> tuple[np.ndarray, np.ndarray]:
        """Truth and probabilities [N,K] of the rows that have the target."""
        target = results.targets[self.target]
        kept = target.mask.numpy()
        return target.tensor.numpy()[kept] > 0, results.tensor.sigmoid().numpy()[kept]


def asymmetric_loss(logits: Tensor, truth: Tensor, gammas: tuple[float, float], margin: float) -> Tensor:
    """The asymmetric loss of every tag, as in `Tagging`: logits and truth [B,K] -> [B,K]."""
    positive = (1 - logits.sigmoid()).clamp(min=_SMALLEST) ** gammas[0] * F.logsigmoid(logits)
    shifted = (logits.sigmoid() - margin).clamp(min=_SMALLEST)  # q
    negative = shifted ** gammas[1] * torch.log((1 - shifted).clamp(min=_SMALLEST))
    return -(truth * positive + (1 - truth) * negative)


def best_threshold(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """The threshold with the greatest F1, halfway to the next smaller probability: truth and probabilities [N]."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(truth, probabilities)
    f1 = 2 * precision * recall / np.maximum(precision + recall, _SMALLEST)
    place = int(f1[:-1].argmax())
    below = thresholds[place - 1] if place else 0.0
    return float(thresholds[place] + below) / 2

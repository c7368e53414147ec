"""Single-label classification: one of K classes a sample, by softmax cross-entropy or focal loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmtrain.contracts import Batch, DataSpec, Range, Results, Rows
from mmtrain.errorrates import ErrorRates, error_rates
from mmtrain.layers import LinearHead
from mmtrain.suggest import did_you_mean


class Classification:
    """One class a sample.

    Args:
        spec: Facts about the data; K is the number of classes of the target.
        target: The target column it learns; None: the only one that the data has.
        metric: Chooses the best checkpoint.
        loss: `cross_entropy`, or `focal`: -(1 - p)^gamma log p of the true class's probability p, which lets rows count
            less the better they are known (Lin et al. 2017, arXiv 1708.02002).
        gamma: Of the focal loss; at 0 it is the cross-entropy. The paper takes 2.
        label_smoothing: Share of the target spread over all classes (Szegedy et al. 2016, arXiv 1512.00567).
        class_weights: `balanced` weighs a class by N / (K * its training rows), as scikit-learn does.
        rejected: Classes that are no command, such as unknown words and silence. A row is accepted where the likeliest
            of the other classes has a probability above a threshold; adds error rates, and their curve to the report.
        dropout: On the fused vector, before the last layer.

    Raises:
        ValueError: `label_smoothing` with the focal loss, which has one true class; `rejected` names no class, or
            leaves none.
    """

    target_kind = "class"
    higher_is_better = True

    def __init__(
        self,
        spec: DataSpec,
        *,
        target: str | None = None,
        metric: Literal["accuracy", "macro_f1"] = "accuracy",
        loss: Literal["cross_entropy", "focal"] = "cross_entropy",
        gamma: Annotated[float, Range(0, 100)] = 2.0,
        label_smoothing: Annotated[float, Range(0, 1)] = 0.0,
        class_weights: Literal["none", "balanced"] = "none",
        rejected: Sequence[str] = (),
        dropout: Annotated[float, Range(0, 1)] = 0.0,
    ) -> None:
        if loss == "focal" and label_smoothing:
            raise ValueError(f"`label_smoothing` (={label_smoothing}) is for loss=cross_entropy; set it to 0")
        facts = spec.target(target)
        self.target, self.targets, self.metric = facts.name, (facts.name,), metric
        self.classes = facts.classes
        if unknown := [name for name in rejected if name not in self.classes]:
            raise ValueError(
                f"`rejected`: `{self.target}` has no class '{unknown[0]}'.{did_you_mean(unknown[0], self.classes)}"
            )
        self.rejected = np.isin(np.arange(len(self.classes)), [self.classes.index(name) for name in rejected])  # [K]
        if self.rejected.all():
            raise ValueError("`rejected` names all classes; leave one out that can be accepted")
        self.label_smoothing, self.dropout = label_smoothing, dropout
        self.gamma = gamma if loss == "focal" else 0.0
        self.class_weight = torch.ones(len(self.classes))  # [K]
        if class_weights == "balanced":
            counts = torch.tensor(facts.counts, dtype=torch.float32)
            self.class_weight = counts.sum() / (len(counts) * counts)

    def make_head(self, width: int) -> nn.Module:
        """A norm, dropout and one linear layer: [B,width] -> logits [B,K]."""
        return LinearHead(width, len(self.classes), dropout=self.dropout)

    def weight(self, batch: Batch) -> float:
        """The summed weights of the rows' classes; a row without a target counts nothing."""
        return float(self._row_weights(batch).sum())

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Weighted sum of the losses of the rows that have a target; a scalar."""
        values = batch.targets[self.target].tensor  # [B]
        losses = F.cross_entropy(outputs.float(), values, label_smoothing=self.label_smoothing, reduction="none")
        if self.gamma:
            unknown = -torch.expm1(-losses)  # 1 - p, as the losses are -log p
            losses = unknown.clamp(min=1e-8) ** self.gamma * losses  # a root has no gradient at 0
        weights = self._row_weights(batch)
        # where, not a product alone: a filling row must not turn the sum into nan
        return torch.where(weights > 0, losses * weights, 0).sum()

    def likelihood(self, outputs: Tensor, batch: Batch) -> Tensor:
        """softmax(outputs)[target]: [B]."""
        values = batch.targets[self.target].tensor  # [B]
        return outputs.float().softmax(dim=-1).gather(1, values.unsqueeze(1)).squeeze(1)

    def _row_weights(self, batch: Batch) -> Tensor:
        target = batch.targets[self.target]
        return self.class_weight.to(target.tensor.device)[target.tensor] * target.mask * batch.weight  # [B]

    def collect(self, outputs: Tensor, batch: Batch) -> Rows:
        """The logits, [B,K]."""
        return outputs.float().cpu()

    def pooled(self, clips: Sequence[Rows]) -> Rows:
        """Logits whose softmax is the mean of the clips' probabilities: [N,K]."""
        each = torch.stack([cast(Tensor, clip).log_softmax(dim=-1) for clip in clips])
        return each.logsumexp(dim=0) - math.log(len(clips))

    def metrics(self, results: Results) -> dict[str, float]:
        """Accuracy and its binomial standard error, macro F1, expected calibration error, over rows with a target."""
        from sklearn.metrics import accuracy_score, f1_score

        target = results.targets[self.target]
        kept = target.mask.numpy()
        truth = target.tensor.numpy()[kept]
        if not len(truth):
            return dict.fromkeys(("accuracy", "accuracy_se", "macro_f1", "calibration_error"), float("nan"))
        probabilities = results.tensor.softmax(dim=-1).numpy()[kept]  # [N,K]
        predicted = probabilities.argmax(axis=1)
        accuracy = float(accuracy_score(truth, predicted))
        return {
            "accuracy": accuracy,
            "accuracy_se": (accuracy * (1 - accuracy) / len(truth)) ** 0.5,
            "macro_f1": float(f1_score(truth, predicted, average="macro", zero_division=0)),
            "calibration_error": calibration_error(probabilities, truth),
            **(rates.scores() if (rates := self._rates(probabilities, truth)) else {}),
        }

    def curves(self, results: Results) -> dict[str, Sequence[tuple[float, float]]]:
        """False rejects by false accepts, both in percent; none without `rejected`."""
        target = results.targets[self.target]
        kept = target.mask.numpy()
        rates = self._rates(results.tensor.softmax(dim=-1).numpy()[kept], target.tensor.numpy()[kept])
        return {} if rates is None else {"false rejects (%) by false accepts (%)": rates.points()}

    def _rates(self, probabilities: np.ndarray, truth: np.ndarray) -> ErrorRates | None:
        if not self.rejected.any():
            return None
        return error_rates(probabilities[:, ~self.rejected].max(axis=1), ~self.rejected[truth])

    def table(self, results: Results) -> dict[str, list[str] | list[float]]:
        """The predicted class, its probability and the probability of every class."""
        probabilities = results.tensor.softmax(dim=-1)
        best, index = probabilities.max(dim=-1)
        columns: dict[str, list[str] | list[float]] = {
            "prediction": [self.classes[i] for i in index.tolist()],
            "probability": best.tolist(),
        }
        for number, name in enumerate(self.classes):
            columns[f"p_{name}"] = probabilities[:, number].tolist()
        return columns

    def confusion(self, results: Results) -> list[list[int]]:
        """Counts [K,K]: row = the true class, column = the predicted one."""
        from sklearn.metrics import confusion_matrix

        target = results.targets[self.target]
        kept = target.mask.numpy()
        matrix = confusion_matrix(
            target.tensor.numpy()[kept],
            results.tensor.argmax(dim=-1).numpy()[kept],
            labels=range(len(self.classes)),
        )
        counts: list[list[int]] = matrix.tolist()
        return counts


def calibration_error(probabilities: np.ndarray, truth: np.ndarray, *, num_bins: int = 15) -> float:
    """Expected calibration error: sum over equal bins of confidence of (rows / N) * |accuracy - mean confidence|.

    After Guo et al. 2017, "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599, with the same
    15 bins. probabilities [N,K], truth [N].
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    bins = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    gap = np.bincount(bins, weights=confidence - right, minlength=num_bins)  # rows * (confidence - accuracy)
    return float(np.abs(gap).sum() / len(truth))

"""Regression: one or several numbers a sample, each with an interval that the validation residuals give."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmtrain.contracts import Batch, DataSpec, Range, Results, Rows
from mmtrain.layers import LinearHead


class Regression:
    """One number a target column.

    The network sees every column standardised by the training rows, so that columns of different units count alike.
    Intervals are those of split conformal prediction (Lei et al. 2018, "Distribution-Free Predictive Inference for
    Regression", https://arxiv.org/abs/1604.04173): prediction plus or minus the ceil((n + 1) coverage)-th smallest
    absolute residual of n validation rows. Where there are too few for that, there is no interval. The rows that choose
    the best checkpoint also give its residuals, so an interval may be a little narrow.

    Args:
        spec: Facts about the data.
        target: The target column it learns, or several; None: the only one that the data has.
        metric: Chooses the best checkpoint. Over several columns it is a mean: of MAE and RMSE in standard deviations.
        loss: `l1` |e|, `l2` e^2 or `huber` (Huber 1964: e^2 / 2 up to `delta`, delta (|e| - delta / 2) beyond), of the
            error e in standard deviations of the column.
        delta: Where the Huber loss turns from a square into a line, in standard deviations.
        coverage: The share of rows whose number shall lie in its interval.
        dropout: On the fused vector, before the last layer.
    """

    target_kind = "number"

    def __init__(
        self,
        spec: DataSpec,
        *,
        target: str | list[str] | None = None,
        metric: Literal["mae", "rmse", "r2", "pearson"] = "mae",
        loss: Literal["l1", "l2", "huber"] = "huber",
        delta: Annotated[float, Range(0, above=True)] = 1.0,
        coverage: Annotated[float, Range(0.01, 0.999)] = 0.9,
        dropout: Annotated[float, Range(0, 1)] = 0.0,
    ) -> None:
        facts = [spec.target(name) for name in (target if isinstance(target, list) else [target])]
        self.targets = tuple(one.name for one in facts)
        self.metric, self.higher_is_better = metric, metric in ("r2", "pearson")
        self.means, self.deviations = ([getattr(one, name) for one in facts] for name in ("mean", "deviation"))
        self.loss_name, self.delta, self.coverage, self.dropout = loss, delta, coverage, dropout
        self._margins: dict[str, list[float]] = {name: [] for name in self.targets}

    def make_head(self, width: int) -> nn.Module:
        """A norm, dropout and one linear layer: [B,width] -> standardised numbers [B,N]."""
        return LinearHead(width, len(self.targets), dropout=self.dropout)

    def weight(self, batch: Batch) -> float:
        """The mean over the columns of the rows that have a number and count."""
        return float(self._weights(batch).mean(dim=1).sum())

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Sum over the rows of the mean over the columns of the losses, without those of absent numbers; a scalar."""
        truth, given = self._stacked(batch).to(outputs.device), outputs.float()  # [B,N]
        if self.loss_name == "l1":
            losses = F.l1_loss(given, truth, reduction="none")
        elif self.loss_name == "l2":
            losses = F.mse_loss(given, truth, reduction="none")
        else:
            losses = F.huber_loss(given, truth, delta=self.delta, reduction="none")
        weights = self._weights(batch)  # [B,N]
        # where, not a product alone: a filling row must not turn the sum into nan
        return torch.where(weights > 0, losses * weights, 0).mean(dim=1).sum()

    def _stacked(self, batch: Batch) -> Tensor:
        return torch.stack([batch.targets[name].tensor for name in self.targets], dim=1)

    def _weights(self, batch: Batch) -> Tensor:
        masks = torch.stack([batch.targets[name].mask for name in self.targets], dim=1)
        return masks * batch.weight.unsqueeze(1)  # [B,N]

    def collect(self, outputs: Tensor, batch: Batch) -> Rows:
        """The standardised numbers, [B,N]."""
        return outputs.float().cpu()

    def pooled(self, clips: Sequence[Rows]) -> Rows:
        """The mean of the clips' numbers: [N,N]."""
        return torch.stack([cast(Tensor, clip) for clip in clips]).mean(dim=0)

    def calibrate(self, results: Results) -> None:
        """Takes half the width of the intervals, in standard deviations, from the residuals on these rows."""
        for name, truth, given in self._columns(results):
            residuals = np.sort(np.abs(given - truth))
            place = math.ceil((len(residuals) + 1) * self.coverage)
            self._margins[name] = [float(residuals[place - 1])] if 0 < place <= len(residuals) else []

    def calibration(self) -> dict[str, list[float]]:
        """For each column half the width of its interval in standard deviations; empty where there is none."""
        return self._margins

    def restore(self, calibration: Mapping[str, Sequence[float]]) -> None:
        """Takes the intervals of a checkpoint."""
        if set(calibration) != set(self.targets) or any(
            len(one) > 1 or min(one, default=0) < 0 for one in calibration.values()
        ):
            raise ValueError(f"expected one number at least 0, or none, for each of {', '.join(self.targets)}")
        self._margins = {name: list(calibration[name]) for name in self.targets}

    def metrics(self, results: Results) -> dict[str, float]:
        """MAE, RMSE, R2, Pearson's r and the share of rows inside their intervals, over rows with a number.

        Of several columns, first the means over them, MAE and RMSE in standard deviations; then those of each column.
        """
        scores = {}
        for (name, truth, given), deviation in zip(self._columns(results), self.deviations, strict=True):
            inside = np.abs(given - truth) <= self._margins[name][0] if self._margins[name] else None
            scores[name] = _scores(truth, given) | {"coverage": math.nan if inside is None else float(np.mean(inside))}
            if len(self.targets) == 1:
                return _scaled(scores[name], deviation)
        means = {metric: float(np.mean([one[metric] for one in scores.values()])) for metric in scores[self.targets[0]]}
        for name, deviation in zip(self.targets, self.deviations, strict=True):
            means |= {f"{name}_{metric}": value for metric, value in _scaled(scores[name], deviation).items()}
        return means

    def table(self, results: Results) -> dict[str, list[str] | list[float]]:
        """The predicted number and the ends of its interval; of several columns, each under the column's name."""
        columns: dict[str, list[str] | list[float]] = {}
        for place, (name, mean, deviation) in enumerate(zip(self.targets, self.means, self.deviations, strict=True)):
            before = f"{name}_" if len(self.targets) > 1 else ""
            given = results.tensor[:, place].double() * deviation + mean  # [N]
            columns[f"{before}prediction"] = given.tolist()
            for margin in self._margins[name]:
                columns[f"{before}low"] = (given - margin * deviation).tolist()
                columns[f"{before}high"] = (given + margin * deviation).tolist()
        return columns

    def _columns(self, results: Results) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Of each column its name, and truth and prediction [n] in standard deviations, of the rows that have it."""
        found = []
        for place, name in enumerate(self.targets):
            kept = results.targets[name].mask.numpy()
            truth = results.targets[name].tensor.double().numpy()[kept]
            found.append((name, truth, results.tensor[:, place].double().numpy()[kept]))
        return found


def _scores(truth: np.ndarray, given: np.ndarray) -> dict[str, float]:
    """nan where a score is not defined: of no row, of one, or of numbers without a spread."""
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    if not len(truth):
        return dict.fromkeys(("mae", "rmse", "r2", "pearson"), math.nan)
    spread = len(truth) > 1 and np.ptp(truth) > 0
    return {
        "mae": float(mean_absolute_error(truth, given)),
        "rmse": float(root_mean_squared_error(truth, given)),
        "r2": float(r2_score(truth, given)) if spread else math.nan,
        "pearson": float(np.corrcoef(truth, given)[0, 1]) if spread and np.ptp(given) > 0 else math.nan,
    }


def _scaled(scores: Mapping[str, float], deviation: float) -> dict[str, float]:
    """MAE and RMSE in the unit of the column."""
    return {name: value * deviation if name in ("mae", "rmse") else value for name, value in scores.items()}

"""Several tasks at once on one fused vector: each has its own target, head and metrics; their losses are summed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn

from mmtrain.contracts import Batch, DataSpec, Fused, Outputs, Results, Rows
from mmtrain.offers import Curved
from mmtrain.protocols import Calibrated, Task
from mmtrain.target import Target

_NAME = re.compile(r"\w+")
_VARIANCES = "log_variances"


class MultiTask:
    """Learns several tasks together; a row may lack the targets of some of them.

    The loss of a row is the sum, over the tasks whose target it has, of w L, with fixed weights w. With `weighting:
    uncertainty` it is the sum of w (exp(-s) L + s / 2), where s, the logarithm of a variance, is learned for each task
    from 0 on (Kendall et al. 2018, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and
    Semantics", https://arxiv.org/abs/1705.07115). The paper halves the first term for squared errors; that would only
    move s by log 2. A task that few rows have a target for counts as little as they are few.

    Args:
        spec: Facts about the data.
        tasks: By name, which stands before the names of their metrics and columns.
        weighting: `fixed`, or `uncertainty` as above.
        weights: Fixed weights by task, at least 0; one that is left out weighs 1.
        metric: Chooses the best checkpoint: `mean`, that of the tasks' own metrics by `weights`, or one of these, as
            `<task>_<metric>`.

    Raises:
        ValueError: There are no tasks, or one has a name that a part of a network cannot have; a weight is negative or
            of no task; `metric` is of no task, or `mean` where more is better for one task and worse for another.
    """

    def __init__(
        self,
        spec: DataSpec,
        *,
        tasks: dict[str, Task],
        weighting: Literal["fixed", "uncertainty"] = "uncertainty",
        weights: dict[str, float] | None = None,
        metric: str = "mean",
    ) -> None:
        if not tasks:
            raise ValueError("`tasks` is empty; add one with +task@task.tasks.<name>=<option>")
        for name in tasks:
            if not _NAME.fullmatch(name) or name == _VARIANCES or hasattr(nn.ModuleDict(), name):
                raise ValueError(
                    f"`tasks.{name}`: another name, please: of letters, digits and '_', and no word of torch"
                )
        wrong = [name for name, weight in (weights or {}).items() if name not in tasks or weight < 0]
        if wrong:
            raise ValueError(f"`weights.{wrong[0]}`: expected a number of at least 0 for one of {', '.join(tasks)}")
        self.tasks = tasks
        self.weights = {name: float((weights or {}).get(name, 1)) for name in tasks}
        self.uncertain = weighting == "uncertainty"
        self.targets = tuple(dict.fromkeys(target for task in tasks.values() for target in task.targets))
        self.metric = metric
        self.higher_is_better = self._direction()

    def _direction(self) -> bool:
        if self.metric == "mean":
            better = {task.higher_is_better for task in self.tasks.values()}
            if len(better) > 1:
                own = ", ".join(f"{name}_{task.metric}" for name, task in self.tasks.items())
                raise ValueError(
                    f"`metric` (=mean) joins scores of which some shall rise and some fall; name one: {own}"
                )
            return better.pop()
        for name, task in self.tasks.items():
            if self.metric == f"{name}_{task.metric}":
                return task.higher_is_better
        own = ", ".join(f"{name}_{task.metric}" for name, task in self.tasks.items())
        raise ValueError(f"`metric` (={self.metric}) is neither mean nor the metric of a task: {own}")

    def make_head(self, width: int) -> nn.Module:
        """The heads of the tasks; outputs by task, and the `log_variances` [B,T]."""
        heads = {name: task.make_head(width) for name, task in self.tasks.items()}
        return MultiTaskHead(heads, uncertain=self.uncertain)

    def weight(self, batch: Batch) -> float:
        """The mean of the tasks' weights."""
        return sum(task.weight(batch) for task in self.tasks.values()) / len(self.tasks)

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The weighted sum of the losses of the tasks; a scalar."""
        given = cast(dict[str, Outputs], outputs)
        total = torch.zeros((), device=batch.weight.device)
        for place, (name, task) in enumerate(self.tasks.items()):
            one = self.weights[name] * task.loss(given[name], batch)
            if self.uncertain:
                s = cast(Tensor, given[_VARIANCES])[0, place]
                one = torch.exp(-s) * one + s / 2 * self.weights[name] * _rows(task, batch)
            total = total + one
        return total

    def collect(self, outputs: Outputs, batch: Batch) -> Rows:
        """What the tasks collect, by task."""
        given = cast(dict[str, Outputs], outputs)
        return {name: task.collect(given[name], batch) for name, task in self.tasks.items()}

    def calibrate(self, results: Results) -> None:
        """Lets the tasks learn what validation decides for them."""
        for name, task in self.tasks.items():
            if isinstance(task, Calibrated):
                task.calibrate(self.of(name, results))

    def calibration(self) -> dict[str, list[float]]:
        """What the tasks have learned, as `<task>/<name>`."""
        return {
            f"{name}/{key}": values
            for name, task in self.tasks.items()
            if isinstance(task, Calibrated)
            for key, values in task.calibration().items()
        }

    def restore(self, calibration: Mapping[str, Sequence[float]]) -> None:
        """Gives the tasks theirs."""
        if unknown := [key for key in calibration if key.partition("/")[0] not in self.tasks]:
            raise ValueError(f"`{unknown[0][:80]}` is of no task")
        for name, task in self.tasks.items():
            own = {key.partition("/")[2]: v for key, v in calibration.items() if key.partition("/")[0] == name}
            if isinstance(task, Calibrated):
                task.restore(own)

    def metrics(self, results: Results) -> dict[str, float]:
        """The metrics of every task, as `<task>_<metric>`, and `mean` where that chooses."""
        scores = {name: task.metrics(self.of(name, results)) for name, task in self.tasks.items()}
        named = {f"{name}_{metric}": value for name, found in scores.items() for metric, value in found.items()}
        if self.metric != "mean":
            return named
        total = sum(self.weights[name] * scores[name][task.metric] for name, task in self.tasks.items())
        return {"mean": total / sum(self.weights.values()), **named}

    def table(self, results: Results) -> dict[str, list[str] | list[float]]:
        """The columns of every task, as `<task>_<column>`."""
        return {
            f"{name}_{column}": values
            for name, task in self.tasks.items()
            for column, values in task.table(self.of(name, results)).items()
        }

    def curves(self, results: Results) -> dict[str, Sequence[tuple[float, float]]]:
        """The curves of the tasks, each titled with the name of its task after that of the axes."""
        return {
            f"{title}, {name}": points
            for name, task in self.tasks.items()
            if isinstance(task, Curved)
            for title, points in task.curves(self.of(name, results)).items()
        }

    def of(self, name: str, results: Results) -> Results:
        """The outputs and targets of one task."""
        targets: dict[str, Target] = {target: results.targets[target] for target in self.tasks[name].targets}
        return results._replace(outputs=cast(dict[str, Rows], results.outputs)[name], targets=targets)


def _rows(task: Task, batch: Batch) -> Tensor:
    """How many rows a task learns from, on their device; the mean over its targets."""
    masks = [batch.targets[name].mask * batch.weight for name in task.targets] or [batch.weight]
    return torch.stack(masks).sum() / len(masks)


class MultiTaskHead(nn.Module):
    """The heads of the tasks, and the logarithms of their variances where these are learned."""

    def __init__(self, heads: Mapping[str, nn.Module], *, uncertain: bool) -> None:
        super().__init__()
        self.reading = {name for name, head in heads.items() if getattr(head, "reads_targets", False)}
        self.reads_targets = bool(self.reading)
        self.heads = nn.ModuleDict(heads)
        self.log_variances = nn.Parameter(torch.zeros(len(heads))) if uncertain else None

    def forward(self, fused: Fused, targets: Mapping[str, Target] | None = None) -> Outputs:
        """Returns the outputs of every head by name, and `log_variances` [B,T]."""
        outputs: dict[str, Outputs] = {
            name: head(fused, targets) if name in self.reading else head(fused) for name, head in self.heads.items()
        }
        if self.log_variances is not None:
            outputs[_VARIANCES] = self.log_variances.expand(len(fused.pooled), -1)
        return outputs

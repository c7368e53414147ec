"""How well a model does on the rows that have all modalities, and on those that lack the same ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mmtrain.contracts import Results
from mmtrain.protocols import DataSource, Task
from mmtrain.report import table
from mmtrain.rows import taken, taken_targets


class Pattern(NamedTuple):
    """The rows that have just these modalities, and the task's metrics over them."""

    present: tuple[str, ...]
    rows: int
    metrics: dict[str, float]

    @property
    def name(self) -> str:
        """`text+image`."""
        return "+".join(self.present) or "none"


def by_pattern(task: Task, results: Results, source: DataSource, modalities: Sequence[str]) -> list[Pattern]:
    """The task's own metrics over each group of rows that have the same modalities, the largest group first.

    Args:
        task: What was asked.
        results: The outputs on a split; every row of it counts in one pattern.
        source: The rows.
        modalities: Those of the model.

    Returns:
        Nothing where all rows have the same ones, and nothing of a task without targets: what retrieval finds depends
        on all rows it looks through.
    """
    row_of = dict(zip(source.ids, range(len(source.ids)), strict=True))
    places: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, identity in enumerate(results.ids):
        row = row_of[identity]
        places[tuple(name for name in modalities if name in source.kinds and source.present(row, name))].append(place)
    if len(places) < 2 or not task.targets:
        return []
    groups = sorted(places.items(), key=lambda group: -len(group[1]))
    return [Pattern(present, len(rows), task.metrics(_only(results, rows))) for present, rows in groups]


def lines(patterns: Sequence[Pattern], metric: str, split: str) -> Iterator[str]:
    """For people: one metric of each pattern."""
    if patterns:
        rows = [
            [pattern.name, f"{pattern.rows:,} rows", f"{pattern.metrics[metric]:.4g}{_error(pattern, metric)}"]
            for pattern in patterns
        ]
        yield f"{metric} on {split} by what a row has\n{table(rows, indent='  ')}"


def _error(pattern: Pattern, metric: str) -> str:
    error = pattern.metrics.get(f"{metric}_se")
    return "" if error is None else f" ± {error:.2g}"


def _only(results: Results, places: Sequence[int]) -> Results:
    return Results(
        [results.ids[place] for place in places],
        taken(results.outputs, places),
        {name: taken_targets(target, places) for name, target in results.targets.items()},
        float("nan"),  # the loss of a part was not computed
    )

"""The score of a run taken apart: by class, and by how sure the model was."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import NamedTuple

from mmtrain.contracts import Results
from mmtrain.protocols import Confusable, Task

MOST_CLASSES = 30
"""Of a full confusion matrix; beyond, the most frequent mistakes are listed."""
MOST_MISTAKES = 20


class Mistake(NamedTuple):
    """How often one class was taken for another."""

    true: str
    predicted: str
    rows: int
    share: float  # of the rows of the true class


class ClassScore(NamedTuple):
    """How well one class is found, each share from 0 to 1; None where nothing was predicted to be it, or nothing is."""

    name: str
    rows: int
    precision: float | None
    recall: float | None


class Bin(NamedTuple):
    """Rows whose highest probability lies in a tenth of the range: how sure and how right they were, from 0 to 1."""

    label: str
    rows: int
    confidence: float
    accuracy: float


class Confusion(NamedTuple):
    """Counts of true (row) against predicted (column) class; `mistakes` in their place where there are many classes."""

    classes: Sequence[str]
    counts: Sequence[Sequence[int]]
    mistakes: Sequence[Mistake]


def confusion(task: Task, results: Results) -> Confusion | None:
    if not isinstance(task, Confusable):
        return None
    counts, names = task.confusion(results), task.classes
    if len(names) <= MOST_CLASSES:
        return Confusion(names, counts, [])
    mistakes = [
        Mistake(names[true], names[predicted], count, count / sum(row))
        for true, row in enumerate(counts)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    return Confusion(names, [], sorted(mistakes, key=lambda mistake: -mistake.rows)[:MOST_MISTAKES])


def classes(task: Task, results: Results) -> list[ClassScore]:
    if not isinstance(task, Confusable) or len(task.classes) > MOST_CLASSES:
        return []
    counts = task.confusion(results)
    scores = []
    for number, name in enumerate(task.classes):
        right, given = counts[number][number], sum(row[number] for row in counts)
        rows = sum(counts[number])
        scores.append(ClassScore(name, rows, right / given if given else None, right / rows if rows else None))
    return scores


def bins(task: Task, results: Results) -> list[Bin]:
    """The reliability diagram (Guo et al. 2017, https://arxiv.org/abs/1706.04599) of a task with one class a row."""
    if not isinstance(task, Confusable) or "probability" not in (columns := task.table(results)):
        return []
    target = results.targets[task.targets[0]]
    found: dict[int, list[tuple[float, bool]]] = {}
    rows = zip(columns["probability"], columns["prediction"], target.tensor.tolist(), target.mask.tolist(), strict=True)
    for probability, predicted, truth, known in rows:
        if known:
            sure = float(str(probability))
            found.setdefault(min(9, int(10 * sure)), []).append((sure, predicted == task.classes[truth]))
    return [
        Bin(f"{n / 10:.1f}–{(n + 1) / 10:.1f}", len(pairs), mean(s for s, _ in pairs), mean(r for _, r in pairs))
        for n, pairs in sorted(found.items())
    ]

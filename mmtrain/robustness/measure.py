"""Measures what a question asks, one evaluation after another."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor

from mmtrain.protocols import Confusable
from mmtrain.report import progress
from mmtrain.robustness.altered import Corruption
from mmtrain.robustness.bench import Bench
from mmtrain.robustness.contribution import lenders, require_comparable, shapley_shares, shuffled, utilisation
from mmtrain.robustness.explain import explain, explainable
from mmtrain.robustness.findings import Curve, Findings
from mmtrain.robustness.measures import break_even, removed, retention, subsets, worst
from mmtrain.robustness.question import Question

Job = tuple[str, object]
"""What an evaluation is of: ("image.blur", .5), ("missing", .3), ("seen", {text, image}), ("text shuffled", 3)."""


def measure(
    bench: Bench, question: Question, corruptions: Sequence[Corruption], open_bench: Callable[[str, str], Bench]
) -> Findings:
    """Evaluates all that is asked.

    Args:
        bench: The run over the split.
        question: What is asked.
        corruptions: Those to try.
        open_bench: A run folder ("" for the run itself) and a split -> a bench over them.

    Raises:
        ConfigError: A run of one modality cannot be compared with this one.
    """
    others = [open_bench(folder, question.split) for folder in question.unimodal]
    alone = {require_comparable(bench, other): other for other in others}  # refused before the work
    jobs = _jobs(bench, question, corruptions)
    scores = {job: evaluate() for job, evaluate in progress(jobs.items(), total=len(jobs), unit="evaluation")}
    found = _findings(bench, question)
    _seen(found, bench, scores)
    for name in map(str, corruptions):
        found.curves[name] = _curve(found, name, question.levels, scores)
    if len(bench.names) > 1:
        found.missing = _curve(found, "missing", question.rates, scores)
    if question.contribution:
        _contribution(found, bench, question, scores)
    if alone:
        train = open_bench("", "train")
        found.unimodal = {name: utilisation(bench, train, other, name) for name, other in alone.items()}
    _examples(found, bench, question.examples)
    return found


def chance(bench: Bench) -> float | None:
    """The accuracy of always answering the commonest class; None of another metric."""
    task = bench.trained.task
    if bench.metric != "accuracy" or not isinstance(task, Confusable):
        return None
    counts = [sum(row) for row in task.confusion(bench.clean)]
    return max(counts) / sum(counts)


def _jobs(bench: Bench, question: Question, corruptions: Sequence[Corruption]) -> dict[Job, Callable[[], float]]:
    """Every evaluation but the clean one."""
    jobs: dict[Job, Callable[[], float]] = {}
    decoded: dict[str, dict[int, Tensor | None]] = {}
    for corruption in corruptions:
        for level in question.levels[1:]:
            jobs[str(corruption), level] = partial(_corrupted, bench, corruption, level, decoded)
    for seen in subsets(bench.names)[:-1]:
        jobs["seen", seen] = partial(bench.without, partial(_others, seen))
    if len(bench.names) > 1:
        for rate in question.rates[1:]:
            jobs["missing", rate] = partial(bench.without, partial(removed, rate=rate))
    if question.contribution:
        jobs["seen", frozenset()] = partial(bench.without, partial(_others, frozenset()))
        for name in bench.names:
            for number, lender in enumerate(lenders(bench, name, question.permutations)):
                jobs[f"{name} shuffled", number] = partial(bench.lent, name, lender)
    return jobs


def _others(seen: frozenset[str], row: str, present: Sequence[str]) -> frozenset[str]:
    return frozenset(present) - seen


def _corrupted(
    bench: Bench, corruption: Corruption, level: float, decoded: dict[str, dict[int, Tensor | None]]
) -> float:
    """The score; of one modality at a time, what was decoded is kept."""
    for other in [name for name in decoded if name != corruption.modality]:
        del decoded[other]
    return bench.corrupted(corruption, level, decoded.setdefault(corruption.modality, {}))


def _findings(bench: Bench, question: Question) -> Findings:
    return Findings(
        step=bench.trained.step,
        split=bench.split,
        rows=len(bench.clean.ids),
        metric=bench.metric,
        higher_is_better=bench.higher,
        score=bench.score,
        error=bench.error,
        chance=chance(bench),
        levels=question.levels,
        rates=question.rates,
    )


def _seen(found: Findings, bench: Bench, scores: dict[Job, float]) -> None:
    """The scores of all subsets, and what they say."""
    every = {
        seen: bench.score if len(seen) == len(bench.names) else scores["seen", seen] for seen in subsets(bench.names)
    }
    found.subsets = {"+".join(name for name in bench.names if name in seen): score for seen, score in every.items()}
    found.worst_subset = worst(found.subsets, higher=bench.higher)
    if len(bench.names) > 1:
        found.best_single = worst({name: found.subsets[name] for name in bench.names}, higher=not bench.higher)


def _curve(found: Findings, name: str, levels: Sequence[float], scores: dict[Job, float]) -> Curve:
    curve = [found.score, *(scores[name, level] for level in levels[1:])]
    bar = found.subsets[found.best_single] if found.best_single else math.nan
    higher = found.higher_is_better
    return Curve(
        curve,
        retention(levels, curve, chance=found.chance, higher=higher),
        (min if higher else max)([score for score in curve if math.isfinite(score)]),
        break_even(levels, curve, bar, higher=higher),
    )


def _contribution(found: Findings, bench: Bench, question: Question, scores: dict[Job, float]) -> None:
    found.nothing = scores["seen", frozenset()]
    values = {seen: scores["seen", seen] for seen in [frozenset[str](), *subsets(bench.names)[:-1]]}
    found.shapley = shapley_shares({**values, frozenset(bench.names): bench.score}, bench)
    if found.shapley is None:
        found.notes.append(f"no Shapley shares: `{bench.metric}` is not defined for some subset of the modalities.")
    for name in bench.names:
        drawn = [scores[job] for job in scores if job[0] == f"{name} shuffled"]
        found.permutation[name] = shuffled(bench, drawn)


def _examples(found: Findings, bench: Bench, count: int) -> None:
    """Explains samples that are evenly spaced over the split."""
    if count and not explainable(bench):
        found.notes.append("no sample is explained: the model does not answer by one row of numbers a sample.")
        return
    rows = bench.rows
    for number in range(min(count, len(rows))):
        row = rows[number * len(rows) // min(count, len(rows))]
        found.examples[row] = explain(bench, row)

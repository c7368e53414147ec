"""What the figures of a robustness test say, as numbers.

Retention is the area under a curve of scores over levels, relative to that of a curve that stays at its start, as in
MultiBench's relative robustness (Liang et al. 2021, https://arxiv.org/abs/2107.07502). Differs: divided by the clean
score above chance, so that it means the same on other data, and it needs no other model to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from math import factorial, isfinite

import torch

from mmtrain import seeding


def retention(levels: Sequence[float], scores: Sequence[float], *, chance: float | None, higher: bool) -> float | None:
    """How much of the score is kept over the levels: 1 all of it, 0 as good as chance.

    area of r over the levels / (last level - first level), with
    r = (score - chance) / (first score - chance) where more is better (chance 0 where there is none), and
    r = first score / score where less is better.

    Args:
        levels: Rising; the first one is clean.
        scores: One a level.
        chance: The score of an answer that looks at nothing.
        higher: Whether more is better.

    Returns:
        None where it is not defined: the clean score is no better than chance, or some score is not a number.
    """
    first, floor = scores[0], chance or 0.0
    if not all(map(isfinite, scores)) or (first <= floor if higher else min(scores) <= 0):
        return None
    kept = [(score - floor) / (first - floor) if higher else first / score for score in scores]
    area = sum((high - low) * (a + b) / 2 for (low, a), (high, b) in pairwise(zip(levels, kept, strict=True)))
    return area / (levels[-1] - levels[0])


def break_even(levels: Sequence[float], scores: Sequence[float], bar: float, *, higher: bool) -> float | None:
    """The level from which the score is below the bar, on a straight line between those measured; None: never."""
    margins = [(score - bar) * (1 if higher else -1) for score in scores]
    if margins[0] < 0:
        return levels[0]
    for (low, before), (high, after) in pairwise(zip(levels, margins, strict=True)):
        if after < 0:
            return low + (high - low) * before / (before - after)
    return None


def worst(scores: Mapping[str, float], *, higher: bool) -> str:
    """The name of the worst score; one that is not a number is passed over where there is another."""
    numbers = {name: score for name, score in scores.items() if isfinite(score)} or scores
    return (min if higher else max)(numbers, key=lambda name: numbers[name])


def subsets(names: Sequence[str]) -> list[frozenset[str]]:
    """Every set of names but the empty one, small ones first."""
    return [frozenset(some) for size in range(1, len(names) + 1) for some in combinations(names, size)]


def shapley(values: Mapping[frozenset[str], float], names: Sequence[str]) -> dict[str, float]:
    """The share of each name in v(all) - v(none), after Shapley 1953, as in SHAPE (Hu et al. 2022, arXiv 2205.00302).

    phi_m = sum over S without m of |S|! (M - |S| - 1)! / M! * (v(S + m) - v(S)), M the number of names.

    Args:
        values: v of every set of names, the empty one too.
        names: All names.
    """
    total = len(names)
    shares = dict.fromkeys(names, 0.0)
    for name in names:
        for some in [frozenset[str](), *subsets([other for other in names if other != name])]:
            weight = factorial(len(some)) * factorial(total - len(some) - 1) / factorial(total)
            shares[name] += weight * (values[some | {name}] - values[some])
    expected = values[frozenset(names)] - values[frozenset()]
    assert abs(sum(shares.values()) - expected) < 1e-9 * max(1.0, abs(expected)), "the shares add up to the whole"
    return shares


def derangement(count: int, key: int) -> list[int]:
    """An order of so many things in which none keeps its place, all such orders equally likely; `count` at least 2."""
    generator = seeding.generator(key, "derangement")
    while True:  # about one order in e is one
        order = torch.randperm(count, generator=generator)
        if not (order == torch.arange(count)).any():
            return order.tolist()


def removed(row: str, present: Sequence[str], rate: float) -> frozenset[str]:
    """Which of its modalities a row loses, each with probability `rate`; one at least is kept.

    A modality that is lost at one rate is lost at every higher one.
    """
    drawn = {name: seeding.key("missing", row, name) / 2**63 for name in present}
    last = max(drawn, key=lambda name: drawn[name], default="")
    return frozenset(name for name, chance in drawn.items() if chance < rate and name != last)

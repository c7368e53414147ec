"""What repeated runs say about a difference: means, intervals, and one plain verdict a comparison.

Two things make a measured difference uncertain: another seed would have trained other models, and another test set
would have held other rows. A t test over the seeds alone sees only the first: every seed is tested on the same rows, so
their luck is common to all. Here both variances are estimated from the [seeds, units] table of differences and added,
as for crossed random effects (Cameron, Gelbach and Miller 2011, "Robust Inference With Multiway Clustering", JBES 29;
Owen 2007, "The pigeonhole bootstrap", https://arxiv.org/abs/0712.1111), with the t quantiles of Cochran and Cox (1957,
"Experimental Designs"; Cochran 1964, Biometrics 20) and Holm's correction over the comparisons of a study (1979, Scand.
J. Statistics 6).

A unit is a block of test rows that may depend on each other. Each unit's part in any metric is its jackknife
pseudo-value (Tukey 1958), which for a mean over rows, such as accuracy, is just the mean over the unit.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Verdict = Literal["helps", "within noise", "hurts"]

MOST_UNITS = 200
"""Blocks that test rows are dealt into; more make a pseudo-value dearer and hardly a variance better."""
DRAWS = 10_000
POWER = 0.8


@dataclass(frozen=True)
class Scores:
    """One variant's scores.

    Args:
        values: The metric of each seed, [S].
        units: The pseudo-values of each seed's metric, [S,U]; the same units in all variants of a study.
    """

    values: Floats
    units: Floats


@dataclass(frozen=True)
class Summary:
    """Mean and spread over seeds; `half_width` is that of the t interval, None where there is one seed."""

    mean: float
    sd: float | None
    half_width: float | None


@dataclass(frozen=True)
class Comparison:
    """A variant against the reference; positive differences are better.

    Attributes:
        difference: Mean over the seeds, in units of the metric.
        half_width: Half the interval around it, from seeds and test units together.
        p: Two-sided, before correction.
        p_holm: After Holm's correction over the comparisons made together.
        detectable: The smallest true difference that this comparison, alone, finds in 80 % of studies.
        verdict: What it comes to.
    """

    difference: float
    half_width: float
    p: float
    p_holm: float
    detectable: float
    verdict: Verdict


def summarise(values: Sequence[float], confidence: float = 0.95) -> Summary:
    """Mean, sample standard deviation (ddof 1) and half the t interval: t * sd / sqrt(S)."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Summary(mean, None, None)
    sd = float(np.std(values, ddof=1))
    return Summary(mean, sd, _quantile(0.5 + confidence / 2, len(values) - 1) * sd / math.sqrt(len(values)))


def compare(
    pairs: Mapping[str, tuple[Scores, Scores]], *, higher_is_better: bool = True, confidence: float = 0.95
) -> dict[str, Comparison]:
    """Compares each variant with the reference, paired by seed and by test unit; makes every verdict there is.

    Args:
        pairs: By name, the variant and the reference, both with the same seeds in the same order.
        higher_is_better: Whether more of the metric is better.
        confidence: Of the intervals; a verdict other than noise needs `p_holm` below 1 - confidence.

    Raises:
        ValueError: Fewer than two seeds or two units: nothing tells how much they vary.
    """
    sign = 1.0 if higher_is_better else -1.0
    tests: dict[str, tuple[float, Error]] = {}
    for name, (variant, reference) in pairs.items():
        error = standard_error(sign * (variant.units - reference.units))  # of [S,U]
        tests[name] = float(sign * np.mean(variant.values - reference.values)), error
    ps = {name: error.p(difference) for name, (difference, error) in tests.items()}
    corrected = holm(ps)
    found = {}
    for name, (difference, error) in tests.items():
        quantile = error.quantile(0.5 + confidence / 2)
        significant = corrected[name] < 1 - confidence
        found[name] = Comparison(
            difference,
            quantile * error.size,
            ps[name],
            corrected[name],
            (quantile + error.quantile(POWER)) * error.size,
            "within noise" if not significant else "helps" if difference > 0 else "hurts",
        )
    return found


class Error(NamedTuple):
    """A standard error with two sources, of which the one, seeds, is known from a few values only.

    Its quantile is that of Cochran and Cox: both t quantiles, weighted by their variances. Degrees of freedom after
    Satterthwaite, tried before, are many just where the variance over seeds comes out small by chance: they found an
    effect in up to 7.3 % of studies of five seeds without one, and in 11 % of those of three.

    Attributes:
        size: The standard error.
        share: V_seeds / (V_seeds + V_units).
        seeds: S.
        units: U.
    """

    size: float
    share: float
    seeds: int
    units: int

    def quantile(self, probability: float) -> float:
        """Of mean / size where the true mean is 0."""
        few, many = _quantile(probability, self.seeds - 1), _quantile(probability, self.units - 1)
        return self.share * few + (1 - self.share) * many

    def p(self, mean: float) -> float:
        """Two-sided: the p whose quantile at p / 2 is -|mean| / size; 0 where that is below 1e-100."""
        from scipy.optimize import brentq

        if mean == 0 or self.size == 0:
            return 1.0 if mean == 0 else 0.0

        def beyond(log_p: float) -> float:
            return self.quantile(math.exp(log_p) / 2) + abs(mean) / self.size

        least = math.log(1e-100)
        return math.exp(brentq(beyond, least, 0.0)) if beyond(least) < 0 else 0.0


def standard_error(units: Floats) -> Error:
    """Standard error of the mean of a table [S,U] under random seeds and random units.

    V = V_seeds + V_units - V_rest, with V_seeds = var(row means) / S, V_units = var(column means) / U, and V_rest =
    var(what neither explains) / (S U), which the first two both hold. At least the larger of the two.

    Raises:
        ValueError: Fewer than two seeds or two units.
    """
    seeds, count = units.shape
    if seeds < 2 or count < 2:
        raise ValueError(f"{seeds} seeds and {count} test units tell nothing of how much they vary; 2 of each do.")
    by_seed, by_unit = units.mean(axis=1), units.mean(axis=0)
    rest = units - by_seed[:, None] - by_unit + units.mean()
    v_seeds, v_units = by_seed.var(ddof=1) / seeds, by_unit.var(ddof=1) / count
    v_rest = float((rest**2).sum()) / ((seeds - 1) * (count - 1)) / (seeds * count)
    variance = max(v_seeds + v_units - v_rest, v_seeds, v_units)
    share = float(v_seeds / (v_seeds + v_units)) if variance else 1.0
    return Error(math.sqrt(variance), share, seeds, count)


def holm(ps: Mapping[str, float]) -> dict[str, float]:
    """p-values that hold for all comparisons together: the k-th smallest of m times m - k + 1, never decreasing."""
    corrected, highest = {}, 0.0
    for rank, name in enumerate(sorted(ps, key=ps.__getitem__)):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[name]))
        corrected[name] = highest
    return {name: corrected[name] for name in ps}


def bootstrap(values: Floats, confidence: float = 0.95, *, draws: int = DRAWS, seed: int = 0) -> tuple[float, float]:
    """Percentile interval of the mean of values [U], the units drawn with replacement."""
    means = _drawn(len(values), draws, seed) @ values
    low, high = np.quantile(means, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return float(low), float(high)


@cache
def _drawn(count: int, draws: int, seed: int) -> Floats:
    """The weight of each unit in each draw, [draws,U]; the same for all comparisons of a study, so made once."""
    counts = np.random.RandomState(seed).multinomial(count, np.full(count, 1 / count), size=draws)
    return np.asarray(counts / count, dtype=np.float64)


def blocks(ids: Sequence[str], groups: Sequence[str] | None = None, most: int = MOST_UNITS) -> list[list[int]]:
    """Deals test rows into units: each group of rows together, groups in an order that only their names decide.

    Args:
        ids: One a row.
        groups: One a row; a blank one stands alone. None: every row stands alone.
        most: Units at most; further groups join those there are, one after another.
    """
    together: dict[str, list[int]] = {}
    for number, name in enumerate(ids):
        group = groups[number].strip() if groups else ""
        together.setdefault(f"group {group}" if group else f"row {name}", []).append(number)
    order = sorted(together, key=lambda name: hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest())
    units: list[list[int]] = [[] for _ in range(min(most, len(order)))]
    for position, name in enumerate(order):
        units[position % len(units)] += together[name]
    return units


def pseudo_values(metric: Callable[[Sequence[int]], float], units: Sequence[Sequence[int]]) -> Floats:
    """Jackknife pseudo-values U * metric(all) - (U - 1) * metric(all but the unit) of each unit, [U].

    Args:
        metric: The score of the rows whose numbers it is given.
        units: Row numbers of each unit.
    """
    rows = sorted(row for unit in units for row in unit)
    whole = metric(rows)
    left_out = [metric([row for row in rows if row not in set(unit)]) for unit in units] if len(units) > 1 else [whole]
    return len(units) * whole - (len(units) - 1) * np.array(left_out, dtype=np.float64)


def _quantile(probability: float, freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))

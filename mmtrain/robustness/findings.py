"""What a robustness test has found; `robustness.json` is this, as it stands."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from mmtrain.robustness.contribution import Shuffled, Utilisation
from mmtrain.robustness.explain import Explanation


@dataclass(frozen=True)
class Curve:
    """Scores over levels.

    Args:
        scores: One a level.
        retention: Of the score, see `measures.retention`.
        worst: The worst of the scores.
        break_even: The level from which the model is worse than with its best single modality alone; None: never.
    """

    scores: Sequence[float]
    retention: float | None
    worst: float
    break_even: float | None


@dataclass
class Findings:
    """All that was measured.

    Args:
        step: Of the weights.
        split: Of the data.
        rows: How many were evaluated, each once an evaluation.
        metric: What the scores are.
        higher_is_better: Whether more of it is better.
        score: With nothing changed.
        error: Its standard error, where the task gives one.
        chance: Accuracy of the commonest class; None where the metric has no such floor.
        levels: Of the corruptions, 0 first.
        rates: Of missing modalities, 0 first.
        curves: By corruption, such as `image.blur`.
        subsets: Score by the modalities that the model gets to see, such as `text+image`.
        worst_subset: The worst of them.
        best_single: The best of those of one modality; None where there is but one.
        missing: Over `rates`; None where there is one modality only.
        nothing: The score without any input; None where contribution is not asked for.
        shapley: Shares of the modalities in `score` - `nothing`; None likewise, or where it is not defined.
        permutation: What shuffling a modality costs; None where fewer than two rows have it.
        unimodal: Against models of one modality, where such are named.
        examples: Explanations, by row.
        notes: What a person should know.
    """

    step: int
    split: str
    rows: int
    metric: str
    higher_is_better: bool
    score: float
    error: float | None
    chance: float | None
    levels: Sequence[float]
    rates: Sequence[float]
    curves: dict[str, Curve] = field(default_factory=dict)
    subsets: dict[str, float] = field(default_factory=dict)
    worst_subset: str = ""
    best_single: str | None = None
    missing: Curve | None = None
    nothing: float | None = None
    shapley: dict[str, float] | None = None
    permutation: dict[str, Shuffled | None] = field(default_factory=dict)
    unimodal: dict[str, Utilisation] = field(default_factory=dict)
    examples: dict[int, Explanation] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        """All of it; what is not a number is null."""
        return json.dumps(_plain(asdict(self)), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""What each modality contributes to a trained model: Shapley shares, shuffling, and a comparison with models of one.

None of these is an attention weight: a weight says where a model looks, not what would change without it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mmtrain import seeding
from mmtrain.errors import ConfigError
from mmtrain.protocols import Confusable
from mmtrain.robustness.bench import Bench
from mmtrain.robustness.measures import derangement, shapley


@dataclass(frozen=True)
class Shuffled:
    """How much the score falls when samples get a modality from one another; positive: it was of use.

    Args:
        drop: Mean over the permutations, in units of the metric.
        deviation: Their sample standard deviation.
        permutations: How many.
    """

    drop: float
    deviation: float
    permutations: int


@dataclass(frozen=True)
class Utilisation:
    """How much of what a modality could tell alone is left in the encoder of the joint model.

    Args:
        alone: Accuracy of the model that was trained on the modality alone.
        probe: Accuracy of a linear classifier on the joint model's tokens of it.
        gap: `alone` - `probe`.
    """

    alone: float
    probe: float
    gap: float


def shapley_shares(values: Mapping[frozenset[str], float], bench: Bench) -> dict[str, float] | None:
    """Shares in the score above that without any input; where less is better, in what is spared.

    None where the score of some subset is not a number.
    """
    if not all(map(math.isfinite, values.values())):
        return None
    sign = 1 if bench.higher else -1
    return shapley({subset: sign * value for subset, value in values.items()}, bench.names)


def lenders(bench: Bench, name: str, count: int) -> list[dict[str, str]]:
    """So many ways to deal a modality to other rows: id -> id of the row it is taken from.

    Among the rows that have it; of fewer than two there is none. After Gat et al. 2021, "Perceptual Score: What Data
    Modalities Does Your Model Perceive?", https://arxiv.org/abs/2110.14375. Differs: no row keeps its own, and rows are
    exchanged over the whole split.
    """
    rows = bench.present(name)
    orders = [derangement(len(rows), seeding.key("permutation", name, n)) for n in range(count if len(rows) > 1 else 0)]
    return [{row: rows[place] for row, place in zip(rows, order, strict=True)} for order in orders]


def shuffled(bench: Bench, scores: Sequence[float]) -> Shuffled | None:
    """What the scores of the permutations say; None where there is none, or one is not a number."""
    if not scores or not all(map(math.isfinite, scores)):
        return None
    sign = 1 if bench.higher else -1
    drops = sign * (bench.score - np.array(scores))
    return Shuffled(float(drops.mean()), float(drops.std(ddof=1)), len(scores))


def require_comparable(bench: Bench, alone: Bench) -> str:
    """The one modality of a model that the joint one is compared with.

    Raises:
        ConfigError: It has several or another one, was asked something else, or judges by other rows.
    """
    folder = alone.trained.folder
    if len(alone.names) != 1 or alone.names[0] not in bench.names:
        raise ConfigError(
            f"`unimodal`: {folder} reads {', '.join(alone.names)}; expected one of {', '.join(bench.names)} alone."
        )
    if (
        not isinstance(bench.trained.task, Confusable)
        or bench.trained.spec.targets.keys() != alone.trained.spec.targets.keys()
    ):
        raise ConfigError(f"`unimodal`: {folder} can be compared only where both runs learn the classes of one target.")
    if bench.clean.ids != alone.clean.ids:
        raise ConfigError(f"`unimodal`: the {bench.split} rows of {folder} are not those of {bench.trained.folder}.")
    return alone.names[0]


def utilisation(bench: Bench, train: Bench, alone: Bench, name: str) -> Utilisation:
    """How much better the modality does alone than a probe of the joint model's encoder.

    The probe is scikit-learn's logistic regression on the mean token of a row, fitted on the training rows. A large gap
    says that joint training has left the encoder behind, the diagnosis of Peng et al. 2022,
    https://arxiv.org/abs/2203.15332.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    target = bench.trained.task.targets[0]
    (x, y), (x_test, y_test) = (_known(one, name, target) for one in (train, bench))
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(x, y)
    score = float((probe.predict(x_test) == y_test).mean())
    best = alone.trained.task.metrics(alone.clean)["accuracy"]
    return Utilisation(best, score, best - score)


def _known(bench: Bench, name: str, target: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean tokens [N,width] and classes [N] of the rows that have the target."""
    found = bench.clean.targets[target]
    kept = found.mask
    return bench.means(name)[kept].numpy(), torch.as_tensor(found.tensor)[kept].numpy()

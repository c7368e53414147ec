"""The trials of a sweep: what a job tells of itself while it trains, what it gives back, and which trials count."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mmtrain.errors import ConfigError, Pruned, Stopped
from mmtrain.record import read_rows

if TYPE_CHECKING:
    import optuna

TRIAL = "MMTRAIN_TRIAL"
"""Of the environment of a job: where it tells its validation scores."""
UNTOLD = "killed"
"""Of the attributes of a study, with a trial's number: it was stopped from outside and counts for nothing."""


class Job(NamedTuple):
    """What a job gives back: its run folder, "" where it has failed or was pruned, and its exit code."""

    folder: str
    code: int
    pruned: bool = False


class Score(NamedTuple):
    """The best validation score of a run, and the same with the sign by which more is better."""

    metric: str
    value: float
    goodness: float


def score(folder: Path) -> Score | None:
    rows = read_rows(folder)
    end = next((row for row in reversed(rows) if row["kind"] == "end"), {})
    metric = str(end.get("metric"))
    chosen = (row for row in rows if row.get("split") == "val" and row["step"] == end.get("best_step"))
    value = next(chosen, {}).get(metric)
    if not isinstance(value, float):
        return None
    return Score(metric, value, value if end["higher_is_better"] else -value)


def reporter() -> Callable[[int, float], None] | None:
    """What a job is to call with step and score, more being better, after each validation; None: it is no trial.

    The call raises Pruned where the trial is not worth its time.
    """
    if TRIAL not in os.environ:
        return None
    optuna = library()
    watched = json.loads(os.environ[TRIAL])
    storage = optuna.storages.RDBStorage(watched["url"])
    study = optuna.load_study(study_name=watched["study"], storage=storage)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=watched["after"], n_warmup_steps=0)

    def report(step: int, score: float) -> None:
        if step == 0:
            return  # the untrained model: its score says nothing of a trial
        storage.set_trial_intermediate_value(watched["trial"], step, score)
        if pruner.prune(study, storage.get_trial(watched["trial"])):
            raise Pruned(f"pruned at step {step}: its validation score is below the median of the trials before")

    return report


def library() -> Any:  # the module; a missing one is told by the extra that brings it
    try:
        import optuna
    except ImportError:
        raise ConfigError("this sweep needs optuna: pip install 'mmtrain[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that count: those that were killed are tried again, as if they had never begun."""
    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state.is_finished() and f"{UNTOLD} {trial.number}" not in study.user_attrs
    ]


def job_of(result: Any) -> Job:
    """What a launcher brings back; one that lost its process, or its exception, counts as failed."""
    value = getattr(result, "_return_value", None)
    if isinstance(value, Stopped):
        return Job("", value.code)
    return value if isinstance(value, Job) else Job("", 1)

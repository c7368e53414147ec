"""Sweeps with Optuna: what is tried follows from the seed and the trials before, so a kill changes nothing.

The jobs here train nothing: each writes the scores that its learning rate would give.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from mmtrain import trials
from mmtrain.cli import main
from mmtrain.compose import compose
from mmtrain.errors import DataError, Stopped

SPACE = ("optimizer.lr=tag(log, interval(1e-4, 1e-1))", "fusion=concat,sum", "encoder.image.channels=[4],[4,8]")


class Killed(BaseException):
    """Ends everything at once, as a signal that cannot be caught does."""


def goodness(config: dict[str, object]) -> float:
    """Best at a learning rate of .01 with sum, and worth 1 there."""
    distance = abs(math.log10(config["optimizer"]["lr"]) + 2)
    return 1 - 0.2 * distance - (0.0 if "sum" in config["fusion"]["_target_"].lower() else 0.1)


class Jobs:
    """Stands in for training; `ends` says what a job ends with instead, by its number."""

    def __init__(self, root: Path, ends: dict[int, BaseException] | None = None, *, loss: bool = False) -> None:
        self.root, self.ends, self.loss, self.configs = root, ends or {}, loss, []
        root.mkdir(exist_ok=True)

    def __call__(self, config: dict[str, object], arguments: Sequence[str]) -> Path:
        self.configs.append(config)
        report = trials.reporter()
        if len(self.configs) - 1 in self.ends:
            raise self.ends[len(self.configs) - 1]
        value = 2 - goodness(config) if self.loss else goodness(config)
        rows = [{"kind": "evaluation", "split": "val", "step": 5, "rmse" if self.loss else "accuracy": value}]
        for step in (0, 5):
            if report is not None:
                report(step, goodness(config))
        end = {"kind": "end", "step": 5, "best_step": 5, "higher_is_better": not self.loss}
        rows.append({**end, "metric": "rmse" if self.loss else "accuracy"})
        folder = self.root / f"run{len(list(self.root.iterdir()))}"
        folder.mkdir()
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return folder

    @property
    def tried(self) -> list[tuple[object, ...]]:
        return [(c["optimizer"]["lr"], c["fusion"]["_target_"], str(c["encoder"]["image"])) for c in self.configs]


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Runs a sweep of so many trials; returns its exit code and its jobs."""

    def run(name: str, *more: str, ends=None, loss=False, n_trials: int = 6) -> tuple[int, Jobs]:
        jobs = Jobs(tmp_path / f"runs_{name}", ends, loss=loss)
        monkeypatch.setattr("mmtrain.cli._one_job", jobs)
        line = ("-m", "hydra/sweeper=mmtrain_optuna", f"hydra.sweeper.n_trials={n_trials}", f"name={name}")
        settings = ("hydra.sweeper.startup_trials=3", "hydra.sweeper.prune_after=4", f"output_dir={tmp_path}")
        return main([*line, *settings, *(more or SPACE)]), jobs

    return run


def test_a_sweep_that_was_killed_ends_as_one_that_was_not(sweep, tmp_path):
    """Killed in the fourth trial, that one is tried again; what is tried after it, and the best, are the same."""
    code, whole = sweep("whole")
    with pytest.raises(Killed):
        sweep("killed", ends={3: Killed()})
    again, rest = sweep("killed")

    assert (code, again) == (0, 0)
    assert rest.tried == whole.tried[3:]
    best = [yaml.safe_load((tmp_path / n / "experiment" / f"{n}_best.yaml").read_text()) for n in ("whole", "killed")]
    assert best[0] == best[1]
    assert best[0]["optimizer"]["lr"] == max(whole.configs, key=goodness)["optimizer"]["lr"]


def test_a_sweep_learns(sweep):
    """Of 14 trials the last six lie closer to the best learning rate than the random ones, by the median exponent."""
    _, jobs = sweep("learns", n_trials=14)
    distances = [abs(math.log10(config["optimizer"]["lr"]) + 2) for config in jobs.configs]

    assert sorted(distances[8:])[3] < sorted(distances[:3])[1]


def test_the_best_trial_is_an_experiment(sweep, tmp_path):
    """Its file composes to the config of that trial, but for where it was written."""
    _, jobs = sweep("found", *SPACE, "trainer.epochs=3")
    best = max(jobs.configs, key=goodness)

    made = compose(["experiment=found_best"], tmp_path / "found")

    assert made == {**best, "name": "train", "output_dir": "outputs"}


def test_a_trial_that_is_worse_than_the_median_is_pruned_and_none_before(sweep, capsys):
    _, jobs = sweep("pruned", n_trials=9)
    told = capsys.readouterr().out

    scores = [goodness(config) for config in jobs.configs]
    assert told.count("pruned at step 5") > 0
    assert len(list(jobs.root.iterdir())) >= 4
    assert f"9 trials, {told.count('pruned at step 5')} pruned, 0 failed" in told
    assert f"best: val accuracy {max(scores):.4g}" in told


def test_less_is_better_where_the_metric_says_so(sweep, capsys):
    _, jobs = sweep("loss", loss=True)

    lowest = min(2 - goodness(config) for config in jobs.configs)
    assert f"best: val rmse {lowest:.4g}" in capsys.readouterr().out


def test_a_trial_that_fails_does_not_end_the_sweep_and_a_stop_does(sweep, capsys):
    code, failed = sweep("failed", ends={1: DataError("no such file")}, n_trials=4)
    assert (code, len(failed.configs)) == (3, 4)
    assert "4 trials, 0 pruned, 1 failed" in capsys.readouterr().out

    code, stopped = sweep("stopped", ends={1: Stopped("stopped", 15)}, n_trials=4)
    assert (code, len(stopped.configs)) == (143, 2)
    assert sweep("stopped", n_trials=4)[1].tried == sweep("other", n_trials=4)[1].tried[1:]


def test_another_sweep_is_not_mixed_in(sweep, tmp_path, capsys):
    sweep("mixed", n_trials=1)

    code, jobs = sweep("mixed", "optimizer.lr=interval(0.1, 0.2)", n_trials=2)

    assert (code, jobs.configs) == (2, [])
    assert f"{tmp_path}/mixed/sweep.db holds the trials of another sweep: its space is" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["trainer.epochs=2"], "nothing varies"),
        (["optimizer.lr=tag(log, interval(0, 1))"], "`optimizer.lr`: "),
    ],
)
def test_a_sweep_over_nothing_or_over_an_impossible_range_is_refused(sweep, capsys, line, told):
    code, jobs = sweep("wrong", *line)

    assert (code, jobs.configs) == (2, [])
    assert told in capsys.readouterr().err

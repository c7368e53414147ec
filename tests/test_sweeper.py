"""Sweeps with Optuna: what is tried follows from the seed and the trials before, so a kill changes nothing.

The jobs here train nothing: each writes the scores that its learning rate would give. A launcher of the tests starts
them, and in a few tests Hydra's own, which composes each job's config and so takes most of a second for it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from mmtrain import trials
from mmtrain.cli import main
from mmtrain.compose import compose
from mmtrain.errors import ConfigError, DataError, Pruned, Stopped
from mmtrain.sweeper import OptunaSweeper, SweeperSettings
from mmtrain.trials import TRIAL, Job

SPACE = ("optimizer.lr=tag(log, interval(1e-4, 1e-1))", "fusion=concat,sum", "encoder.image.channels=[4],[4,8]")


class Killed(BaseException):
    """Ends everything at once, as a signal that cannot be caught does."""


class Tried:
    """What a job is asked to train."""

    def __init__(self, lr: float, fusion: str, channels: Sequence[int]) -> None:
        self.lr, self.fusion, self.channels = lr, fusion, list(channels)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tried) and vars(self) == vars(other)

    @property
    def distance(self) -> float:
        """Powers of ten from a learning rate of .01."""
        return abs(math.log10(self.lr) + 2)

    @property
    def goodness(self) -> float:
        """Best at a learning rate of .01 with sum, and worth 1 there."""
        return 1 - 0.2 * self.distance - (0.0 if self.fusion == "sum" else 0.1)


class Jobs:
    """Stands in for training; `ends` says what a job ends with instead, by its number."""

    def __init__(self, root: Path, ends: dict[int, BaseException] | None, *, loss: bool) -> None:
        self.root, self.ends, self.loss = root, ends or {}, loss
        self.tried: list[Tried] = []
        self.pruned = 0
        root.mkdir(exist_ok=True)

    def train(self, tried: Tried) -> Path:
        """A run folder with the scores."""
        self.tried.append(tried)
        report = trials.reporter()
        if len(self.tried) - 1 in self.ends:
            raise self.ends[len(self.tried) - 1]
        for step in (0, 5):
            if report is not None:
                report(step, tried.goodness)
        metric, value = ("rmse", 2 - tried.goodness) if self.loss else ("accuracy", tried.goodness)
        rows = [
            {"kind": "evaluation", "split": "val", "step": 5, metric: value},
            {"kind": "end", "step": 5, "best_step": 5, "higher_is_better": not self.loss, "metric": metric},
        ]
        folder = self.root / f"run{len(list(self.root.iterdir()))}"
        folder.mkdir()
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return folder

    def launch(self, lines: Sequence[Sequence[str]], initial_job_idx: int) -> list[SimpleNamespace]:
        """As a launcher of Hydra's."""
        return [SimpleNamespace(_return_value=self._job(line)) for line in lines]

    def _job(self, line: Sequence[str]) -> Job:
        found = OverridesParser.create().parse_overrides(list(line))
        values = {override.get_key_element().lstrip("+"): override.value() for override in found}
        with pytest.MonkeyPatch.context() as patch:
            if told := values.get(f"hydra.job.env_set.{TRIAL}"):
                patch.setenv(TRIAL, told)
            try:
                tried = Tried(values["optimizer.lr"], values["fusion"], values["encoder.image.channels"])
                return Job(str(self.train(tried)), 0)
            except Pruned:
                self.pruned += 1
                return Job("", 0, pruned=True)
            except (DataError, Stopped) as error:
                return Job("", error.code)


@pytest.fixture
def sweep(tmp_path):
    """Runs a sweep of so many trials; returns its jobs."""

    def run(name: str, *space: str, ends=None, loss=False, n_trials: int = 6) -> Jobs:
        settings = asdict(SweeperSettings(n_trials=n_trials, startup_trials=3, prune_after=4))
        del settings["_target_"]
        sweeper, jobs = OptunaSweeper(**settings), Jobs(tmp_path / f"runs_{name}", ends, loss=loss)
        sweeper.hydra_context, sweeper.launcher = SimpleNamespace(config_loader=None), jobs
        sweeper.config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path / name)}}})
        sweeper.sweep([f"name={name}", *(space or SPACE)])
        return jobs

    return run


@pytest.fixture
def commanded(tmp_path, monkeypatch):
    """Runs a sweep as one types it, through Hydra; returns its exit code, its jobs and their configs."""

    def run(name: str, *space: str, ends=None, n_trials: int = 2) -> tuple[int, Jobs, list[dict[str, object]]]:
        jobs, configs = Jobs(tmp_path / f"runs_{name}", ends, loss=False), []

        def train(config, arguments):
            configs.append(config)
            fusion = config["fusion"]["_target_"].rpartition(".")[2].removesuffix("Fusion").lower()
            return jobs.train(Tried(config["optimizer"]["lr"], fusion, config["encoder"]["image"]["channels"]))

        monkeypatch.setattr("mmtrain.cli._one_job", train)
        line = ("-m", "hydra/sweeper=mmtrain_optuna", f"hydra.sweeper.n_trials={n_trials}", f"name={name}")
        return main([*line, f"output_dir={tmp_path}", *space]), jobs, configs

    return run


def test_a_sweep_that_was_killed_ends_as_one_that_was_not(sweep, tmp_path):
    """Killed in the fourth trial, that one is tried again; what is tried after it, and the best, are the same."""
    whole = sweep("whole")
    with pytest.raises(Killed):
        sweep("killed", ends={3: Killed()})
    rest = sweep("killed")

    assert rest.tried == whole.tried[3:]
    best = [yaml.safe_load((tmp_path / n / "experiment" / f"{n}_best.yaml").read_text()) for n in ("whole", "killed")]
    assert best[0] == best[1]
    assert best[0]["optimizer"]["lr"] == max(whole.tried, key=lambda tried: tried.goodness).lr


def test_a_sweep_learns(sweep):
    """Of 14 trials the last six lie closer to the best learning rate than the random ones, by the median exponent."""
    distances = [tried.distance for tried in sweep("learns", n_trials=14).tried]

    assert sorted(distances[8:])[3] < sorted(distances[:3])[1]


def test_the_best_trial_is_an_experiment_and_one_that_fails_does_not_end_the_sweep(commanded, tmp_path, capsys):
    """Its file composes to that trial's config, but for where it was written; the exit code is that of the failure."""
    code, jobs, configs = commanded("found", *SPACE, "trainer.epochs=3", ends={1: DataError("no file")}, n_trials=3)
    best = max((0, 2), key=lambda number: jobs.tried[number].goodness)

    assert (code, len(jobs.tried)) == (3, 3)
    assert "3 trials, 0 pruned, 1 failed" in capsys.readouterr().out
    assert compose(["experiment=found_best"], tmp_path / "found") == {
        **configs[best],
        "name": "train",
        "output_dir": "outputs",
    }


def test_a_trial_that_is_worse_than_the_median_is_pruned_and_none_before(sweep, capsys):
    jobs = sweep("pruned", n_trials=9)

    assert jobs.pruned > 0
    assert len(list(jobs.root.iterdir())) == 9 - jobs.pruned >= 4
    told = capsys.readouterr().out
    assert f"9 trials, {jobs.pruned} pruned, 0 failed" in told
    assert f"best: val accuracy {max(tried.goodness for tried in jobs.tried):.4g}" in told


def test_less_is_better_where_the_metric_says_so(sweep, capsys):
    jobs = sweep("loss", loss=True)

    lowest = min(2 - tried.goodness for tried in jobs.tried)
    assert f"best: val rmse {lowest:.4g}" in capsys.readouterr().out


def test_a_stop_ends_the_sweep_and_the_same_command_goes_on(sweep, capsys):
    """Stopped in the second of four trials, that one is tried again."""
    stopped = sweep("stopped", ends={1: Stopped("stopped", 15)}, n_trials=4)
    assert len(stopped.tried) == 2
    assert "stopped; the same command goes on from" in capsys.readouterr().out

    assert sweep("stopped", n_trials=4).tried == sweep("other", n_trials=4).tried[1:]


def test_a_stopped_sweep_exits_with_the_code_of_its_signal(commanded):
    code, jobs, _ = commanded("stopped", *SPACE, ends={0: Stopped("stopped", 15)})

    assert (code, len(jobs.tried)) == (143, 1)


def test_another_sweep_is_not_mixed_in(sweep, tmp_path):
    sweep("mixed", n_trials=1)

    with pytest.raises(ConfigError, match=f"{tmp_path}/mixed/sweep.db holds the trials of another sweep: its space is"):
        sweep("mixed", "optimizer.lr=interval(0.1, 0.2)", n_trials=2)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["trainer.epochs=2"], "nothing varies"),
        (["optimizer.lr=tag(log, interval(0, 1))"], "`optimizer.lr`: "),
        (["fusion=concat,som"], "`fusion`: no option 'som'. Did you mean `sum`?"),
    ],
)
def test_a_sweep_over_nothing_or_over_what_is_not_there_is_refused(commanded, capsys, line, told):
    code, jobs, _ = commanded("wrong", *line)

    assert (code, jobs.tried) == (2, [])
    assert told in capsys.readouterr().err

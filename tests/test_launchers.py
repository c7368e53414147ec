"""Sweeps for real: trials that train, a sweep killed by the system, and jobs that other processes run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from mmtrain.record import read_rows
from tests.tiny import TINY

pytestmark = pytest.mark.slow

OPTUNA = (
    *("-m", "hydra/sweeper=mmtrain_optuna", "hydra.sweeper.startup_trials=2"),
    *("optimizer.lr=tag(log, interval(1e-4, 1e-1))", "name=lr", "modalities=[image]", *TINY),
)


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "mmtrain", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def run(folder: Path, *arguments: str) -> str:
    process = start(folder, *arguments)
    told, _ = process.communicate()
    assert process.returncode == 0, told
    return told


def best(folder: Path) -> object:
    return yaml.safe_load((folder / "outputs" / "lr" / "experiment" / "lr_best.yaml").read_text(encoding="utf-8"))


def ended(folder: Path) -> list[Path]:
    """The runs below a folder that have come to their end."""
    runs = sorted(path.parent for path in (folder / "outputs").rglob("metrics.jsonl"))
    return [path for path in runs if any(row["kind"] == "end" for row in read_rows(path))]


def test_a_sweep_that_the_system_kills_ends_as_one_that_it_does_not(tmp_path):
    """Killed once ten of twenty trials have ended; the same command then goes on to the same best."""
    sweep = [*OPTUNA, "hydra.sweeper.n_trials=20", "trainer.epochs=1"]
    run(tmp_path / "whole", *sweep)
    process = start(tmp_path / "killed", *sweep)
    while process.poll() is None and len(ended(tmp_path / "killed")) < 10:
        time.sleep(0.05)  # no bound: the process ends by itself in any case
    process.send_signal(signal.SIGKILL)
    process.communicate()

    told = run(tmp_path / "killed", *sweep)

    assert "of 20 trials have ended before" in told
    assert best(tmp_path / "killed") == best(tmp_path / "whole")


def test_joblib_runs_trials_at_once(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweeper.n_jobs=2")

    told = run(tmp_path, *OPTUNA, "hydra.sweeper.n_trials=4", *launcher)

    assert "4 trials, 0 pruned, 0 failed" in told
    assert len(ended(tmp_path)) == 4


def test_submitit_runs_the_jobs_of_a_sweep(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")

    run(tmp_path, "-m", "hydra/launcher=submitit_local", "seed=0,1", "modalities=[image]", *TINY)

    assert len(ended(tmp_path)) == 2

"""Several processes train one model: the steps of one, each row counted once, and none left waiting for the dead."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from mmtrain.contracts import Draw
from mmtrain.data.plan import share
from tests import tiny

PLAIN = (
    "encoder/text=bag_of_words",
    "encoder/image=conv2",
    "encoder/audio=mel_cnn",
    "dataset.train_rows=72",
    "dataset.val_rows=72",
    "dataset.test_rows=72",
    "width=16",
    "trainer.batch_size=18",
    "trainer.epochs=5",
    "trainer.tensorboard=false",
    "trainer.log_every_steps=1",
    "num_threads=1",
)
"""No BatchNorm and no dropout: these are drawn and counted a process. 20 steps."""

BALANCED = (
    "trainer.epochs=1",
    "technique.unimodal_weight=0.5",
    "technique.unimodal_steps=2",
    "technique.mmpareto=1.5",
    "technique.ogm_ge=0.3",
    "technique.modality_dropout=0.2",
    "technique.null_tokens=true",
)

BLENDED = ("technique.unimodal_weight=0.5", "technique.gradient_blending=8")


def launch(tmp_path: Path, options: Sequence[str], *, processes: int = 2) -> subprocess.Popen[str]:
    """Starts a training below `tmp_path` on so many processes."""
    module = ["-m", "mmtrain", *options, f"output_dir={tmp_path}/outputs"]
    torchrun = ["-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--standalone"]
    command = [sys.executable, *(torchrun if processes > 1 else []), *module]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def finished(tmp_path: Path, options: Sequence[str], *, processes: int = 2) -> Path:
    """Trains to the end; the run's folder."""
    process = launch(tmp_path, options, processes=processes)
    said, _ = process.communicate(timeout=280)
    assert process.returncode == 0, said
    folders = list((tmp_path / "outputs").glob("*/2*"))
    assert len(folders) == 1, "one run folder, made by the first process"
    return folders[0]


def test_shares_of_a_batch_are_equally_many_and_cover_it() -> None:
    """Seven rows on three processes: three each, two of them filling rows of weight 0."""
    batch = [Draw(row, row) for row in range(7)]
    shares = [share(batch, parts=3, part=part) for part in range(3)]

    assert [len(part) for part in shares] == [3, 3, 3]
    counted = sorted(draw.row for part in shares for draw in part if draw.weight)
    assert counted == list(range(7))


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        (PLAIN, 1e-5),
        pytest.param((*PLAIN, *BALANCED), 1e-3, marks=pytest.mark.slow),
        pytest.param((*PLAIN, *BLENDED), 1e-3, marks=pytest.mark.slow),
    ],
    ids=["plain", "balanced", "blended"],
)
def test_two_processes_equal_one(tmp_path: Path, options: Sequence[str], tolerance: float) -> None:
    """On two processes losses and scores agree with those of one, also where techniques change the gradients.

    20 steps, and 4 with OGM-GE and MMPareto, in which small differences grow; gradient blending has a looser bound too.
    """
    one = tiny.rows(finished(tmp_path / "one", options, processes=1))
    two = tiny.rows(finished(tmp_path / "two", options))

    assert [row["kind"] for row in one] == [row["kind"] for row in two]
    for first, second in zip(one, two, strict=True):
        for name, value in first.items():
            expected = value if isinstance(value, str) else pytest.approx(value, rel=tolerance, abs=1e-6)
            assert second[name] == expected, (first["step"], name)


def sparse_table(folder: Path) -> Path:
    """80 rows of a word and a tone; 4 of the training rows have the sound, 95 % lack it."""
    import numpy as np
    import soundfile

    folder.mkdir(parents=True)
    soundfile.write(folder / "tone.wav", np.sin(np.arange(800) / 3).astype("float32"), 8000)
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "audio", "label", "split"])
        for number in range(120):
            split = "train" if number < 80 else "val" if number < 100 else "test"
            audio = "tone.wav" if number % 20 == 0 else ""
            writer.writerow([["red", "green"][number % 2], audio, ["r", "g"][number % 2], split])
    return folder / "table.csv"


SPARSE = (
    "dataset=table",
    "encoder/text=bag_of_words",
    "encoder/audio=log_mel_cnn",
    "reader.audio.sample_rate=8000",
    "trainer.batch_size=10",
    "trainer.epochs=3",
    "trainer.tensorboard=false",
    "num_threads=1",
)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_training_with_95_percent_of_a_modality_missing(tmp_path: Path, processes: int) -> None:
    """Most batches have no sound at all, some have it on one process only; it trains and solves the text."""
    table = sparse_table(tmp_path / "data")
    folder = finished(tmp_path, [*SPARSE, f"dataset.path={table}", "optimizer.lr=0.01"], processes=processes)
    tests = [row for row in tiny.rows(folder) if row["kind"] == "evaluation" and row["split"] == "test"]

    assert [row["rows"] for row in tests] == [20]
    assert tests[0]["accuracy"] == 1.0


def wait_for_step(process: subprocess.Popen[str]) -> None:
    """Returns when the run has made its first evaluation."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step 0/"):
            return
    raise AssertionError("the run ended before its first step")


def children(pid: int) -> list[int]:
    """Process ids of the workers that torchrun has started, in the order of ranks."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_dead_process_ends_the_others(tmp_path: Path) -> None:
    """One of two is killed: the other leaves code 8 in error.json, and all are gone within 30 s."""
    process = launch(tmp_path, [*PLAIN, "trainer.epochs=2000"])
    wait_for_step(process)
    os.kill(children(process.pid)[1], signal.SIGKILL)
    process.communicate(timeout=30)

    assert process.returncode == 1  # torchrun's own code
    error = json.loads(next((tmp_path / "outputs").glob("*/2*/error.json")).read_text())
    assert error["code"] == 8


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_sigterm_saves_the_same_step_on_all(tmp_path: Path) -> None:
    """torchrun is told to end: the step is saved, and a resume on two processes goes on to the end."""
    options = [*PLAIN, "trainer.epochs=60"]
    process = launch(tmp_path, options)
    wait_for_step(process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    folder = next((tmp_path / "outputs").glob("*/2*"))
    assert json.loads((folder / "error.json").read_text())["code"] == 143

    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    subprocess.run([*torchrun, "-m", "mmtrain", "resume", str(folder)], check=True, capture_output=True, timeout=280)
    whole = finished(tmp_path / "whole", options)
    tiny.assert_same_end(folder, whole, 240)

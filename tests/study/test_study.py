"""A study end to end: its cells, what it skips, how it goes on, what it refuses; with two tiny modalities."""

from __future__ import annotations

import csv
import functools
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mmtrain import compose, finish, loop, training
from mmtrain.cli import main
from mmtrain.errors import DataError
from mmtrain.run import Run
from mmtrain.study import workers
from mmtrain.study.cell_run import Order
from mmtrain.study.cells import base_config, grid, identify
from mmtrain.study.question import read

TINY = (
    "dataset.train_rows=72",
    "dataset.val_rows=72",
    "dataset.test_rows=72",
    "encoder/text=bag_of_words",
    "encoder.image.channels=[4,8]",
    "width=16",
    "trainer.batch_size=20",
    "trainer.epochs=1",
    "modalities=[text,image]",
    "seeds=2",
)
"""Cells of four steps: text, image, both, with two seeds each."""
MEASURED = ("seconds", "peak_memory_bytes", "ms_per_sample")


class Killed(BaseException):
    """Stands for SIGKILL: nothing handles it."""


@pytest.fixture(scope="module", autouse=True)
def _composed_once():
    """Equal command lines compose to equal configs, and nothing changes one."""
    patch = pytest.MonkeyPatch()
    real = compose.composed
    cached = functools.cache(lambda overrides, config_dir: real(overrides, config_dir))
    patch.setattr(compose, "composed", lambda line, config_dir=None: cached(tuple(line), config_dir))
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def _own_path(monkeypatch):
    """`main` appends the working directory to the path."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that nobody stopped; its folder."""
    return studied(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """The finished study, to be changed."""
    folder = tmp_path / "studies" / "ablation"
    shutil.copytree(whole, folder)
    return folder


def studied(outputs: Path, *words: str, name: str = "ablation", code: int = 0) -> Path:
    """Runs a study in this process; returns its folder."""
    assert main(["study", name, *TINY, "jobs=0", f"output_dir={outputs}", *words]) == code
    return outputs / "studies" / name


def rows(folder: Path) -> list[dict[str, str]]:
    """The table, less what is measured by the clock."""
    with (folder / "table.csv").open(encoding="utf-8", newline="") as file:
        return [{k: v for k, v in row.items() if k not in MEASURED} for row in csv.DictReader(file)]


def question(*words: str, name: str = "ablation"):
    return read(name, [*TINY, *words])


def test_every_subset_is_a_row_with_the_ensemble_and_a_verdict_each(whole: Path):
    made = rows(whole)

    names = ["text", "image", "text+image", "logit ensemble of text+image"]
    assert [row["modalities"] for row in made] == names
    assert [row["note"] for row in made] == ["", "", "reference", ""]
    assert all(row["verdict"] in ("helps", "within noise", "hurts") for row in made if row["note"] != "reference")
    assert [float(row["ceiling"]) for row in made] == pytest.approx([1 / 6, 7 / 12, 7 / 12, 7 / 12])


def test_all_forms_of_the_table_and_the_plot_are_there(whole: Path):
    assert (whole / "table.md").read_text(encoding="utf-8").count("\n| ") == 5
    assert "\\begin{tabular}" in (whole / "table.tex").read_text(encoding="utf-8")
    page = (whole / "table.html").read_text(encoding="utf-8")
    assert (whole / "plot.svg").read_text(encoding="utf-8").strip() in page
    assert "smallest true difference" in page


def test_a_finished_cell_keeps_predictions_and_metrics_and_no_checkpoint(whole: Path):
    for line in map(json.loads, (whole / "runs.jsonl").read_text(encoding="utf-8").splitlines()):
        folder = whole / line["folder"]
        assert (folder / "predictions" / "test.csv").is_file()
        assert list(folder.rglob("*.safetensors")) == [folder / "outputs.safetensors"]


def test_a_cell_is_the_single_run_of_its_command_line():
    """Where it is written, TensorBoard and the threads that share the cores are all that is its own."""
    asked = question("fusion=concat,sum", "trainer.tensorboard=true")
    cell = next(cell for cell in grid(asked, ["text", "image"]).cells if cell.label[1] == ("fusion", "sum"))
    words = [word for word in TINY if not word.startswith(("seeds", "modalities"))]
    single = compose.compose([*words, "fusion=sum", "seed=0", "modalities=[text]"])

    differ = {key for key in single if single[key] != cell.config[key]}
    assert differ == {"name", "output_dir", "num_threads", "trainer"}
    assert {**cell.config["trainer"], "tensorboard": True} == single["trainer"]


def test_only_what_changes_the_result_is_hashed():
    config = compose.compose()
    again = compose.compose(["output_dir=x", "name=y", "trainer.num_workers=3", "trainer.tensorboard=false"])

    assert identify(again) == identify(config)
    assert identify(compose.compose(["trainer.clip_norm=2"])) != identify(config)


def test_baselines_of_each_modality_come_with_any_axis():
    asked = question("fusion=concat,sum", name="fusions")
    labels = [dict(label) for label in grid(asked, ["text", "image"]).labels]

    assert labels == [
        {"modalities": "text+image", "fusion": "concat"},
        {"modalities": "text+image", "fusion": "sum"},
        {"modalities": "text", "fusion": "concat"},
        {"modalities": "image", "fusion": "concat"},
    ]


def test_all_modalities_of_the_data_are_taken_where_none_are_named():
    asked = read("ablation", ["seeds=2"])

    assert base_config(asked)["modalities"] is None
    assert len(grid(asked, ["text", "image", "audio"]).labels) == 7


def test_a_finished_study_trains_nothing_again(copy: Path, monkeypatch):
    def never(*arguments: object, **more: object) -> Path:
        raise AssertionError("a finished cell was trained")

    before = rows(copy)
    monkeypatch.setattr(training, "start", never)
    studied(copy.parents[1])

    assert rows(copy) == before


def test_more_seeds_add_cells(copy: Path):
    studied(copy.parents[1], "seeds=3")

    assert {row["seeds"] for row in rows(copy)} == {"3"}
    assert len((copy / "runs.jsonl").read_text(encoding="utf-8").splitlines()) == 9


def test_a_study_killed_at_random_ends_the_same(tmp_path: Path, monkeypatch, whole: Path):
    """Killed three times at a step drawn among those of all cells; the fourth attempt ends it."""
    draw, real = random.Random(1), loop.train_step
    for _ in range(3):
        left = [draw.randint(1, 12)]

        def deadly(run: Run, *arguments: object, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            real(run, *arguments)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(loop, "train_step", deadly)
            with pytest.raises(Killed):
                studied(tmp_path)

    assert rows(studied(tmp_path)) == rows(whole)


def test_a_cell_goes_on_from_its_last_checkpoint(tmp_path: Path, monkeypatch, whole: Path):
    """Killed in its test, the first cell is neither trained from the start again nor in another folder."""
    with monkeypatch.context() as patch:
        patch.setattr(finish, "write_table", lambda *arguments: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            studied(tmp_path)
    (before,) = (tmp_path / "studies" / "ablation" / "cells").glob("*/*/")
    steps: list[int] = []
    monkeypatch.setattr(training, "start", counted(training.start, steps))
    folder = studied(tmp_path)

    assert len(steps) == 5
    assert list(before.parent.glob("*/")) == [before]
    assert rows(folder) == rows(whole)


def counted(function: Callable[..., Path], calls: list[int]) -> Callable[..., Path]:
    def noting(*arguments: object, **more: object) -> Path:
        calls.append(1)
        return function(*arguments, **more)

    return noting


def test_a_cell_that_fails_is_told_and_the_rest_goes_on(tmp_path: Path, monkeypatch, capsys):
    real = training.start

    def failing(config, *arguments, **more):
        if config["modalities"] == ["image"] and config["seed"] == 1:
            raise DataError("pets.csv:12: no such picture.")
        return real(config, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(training, "start", failing)
        folder = studied(tmp_path, code=3)
    told = capsys.readouterr()
    assert "failed (3): pets.csv:12: no such picture." in told.err
    assert "1 of 6 cells failed" in told.err
    assert [row["note"] for row in rows(folder)] == ["", "1 failed", "reference", ""]
    assert [row["verdict"] for row in rows(folder)][1] == ""

    assert rows(studied(tmp_path))[1]["note"] == ""


def test_fail_fast_stops_at_the_first_failure(tmp_path: Path, monkeypatch):
    calls: list[int] = []

    def failing(*arguments: object, **more: object) -> Path:
        raise DataError("no such picture.")

    monkeypatch.setattr(training, "start", counted(failing, calls))
    studied(tmp_path, "fail_fast=true", code=3)

    assert len(calls) == 1


def test_a_worker_that_is_killed_ends_its_cell_only(tmp_path: Path, monkeypatch, whole: Path, capsys):
    """The process of the first cell, text with seed 0, is gone at once; another one trains the rest."""
    real, given = workers._Worker.give, []

    def deadly(worker: workers._Worker, order: Order) -> None:
        real(worker, order)
        given.append(order)
        if len(given) == 1:
            worker.process.kill()

    monkeypatch.setattr(workers._Worker, "give", deadly)
    folder = studied(tmp_path, "jobs=1", "modalities=[text],[image]", "seeds=2", code=5)
    made, expected = rows(folder), rows(whole)

    assert "failed (5): its process was killed by signal 9; out of memory?" in capsys.readouterr().err
    assert [row["seeds"] for row in made] == ["1", "2", "1"]
    assert made[1]["mean"] == expected[1]["mean"]


def test_a_deleted_cell_is_trained_again(copy: Path, capsys):
    before = rows(copy)
    shutil.rmtree(next((copy / "cells").glob("*/")))
    studied(copy.parents[1])

    assert "is gone; it is trained again" in capsys.readouterr().out
    assert rows(copy) == before


def test_an_edited_cell_is_refused(copy: Path, capsys):
    result = next((copy / "cells").glob("*/*/result.json"))
    result.write_text(result.read_text(encoding="utf-8").replace('"value": 0', '"value": 1'), encoding="utf-8")
    studied(copy.parents[1], code=6)

    assert f"{result}: changed since the cell" in capsys.readouterr().err


def test_changed_data_are_refused_by_the_names_of_their_rows(copy: Path, capsys):
    """Another seed of the built-in data draws other rows under the same ids."""
    studied(copy.parents[1], "dataset.seed=1", code=3)

    told = capsys.readouterr().err
    assert "the data have changed" in told
    assert "train-00" in told


def test_kept_weights_can_be_evaluated_and_have_no_optimizer(tmp_path: Path, capsys):
    folder = studied(tmp_path, "keep_weights=true", "modalities=[text],[image]", "confidence=null", "seeds=1")
    (line, *_) = map(json.loads, (folder / "runs.jsonl").read_text(encoding="utf-8").splitlines())
    (optimizer,) = (folder / line["folder"]).rglob("optim.safetensors")
    capsys.readouterr()

    assert optimizer.stat().st_size < 100
    assert main(["evaluate", str(folder / line["folder"])]) == 0
    assert f"accuracy {line['value']:.4g}" in capsys.readouterr().out


def test_a_dry_run_lists_the_cells_and_what_they_need(tmp_path: Path, capsys):
    folder = studied(tmp_path, "dry_run=true")
    told = capsys.readouterr().out

    assert told.count("to train") == 7
    assert "6 of 6 cells to train: about" in told
    assert not folder.exists()


def test_a_dry_run_refuses_a_disk_that_is_too_small(tmp_path: Path, capsys, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    studied(tmp_path, "dry_run=true", code=7)

    assert "0 MB are free" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ablatoin"], "no such study. Did you mean `ablation`?"),
        (["fusions", "fusion="], "`fusion`: an axis without a value"),
        (["fusions", "fusion=concat"], "nothing to compare: no axis"),
        (["ablation", "fusoin=concat,sum"], "no such key. Did you mean `fusion`?"),
        (["ablation", "fusion=concat,som"], "no option 'som'. Did you mean `sum`?"),
        (["ablation", "seeds=1"], "no interval from one seed"),
        (["ablation", "seeds=0"], "`seeds`: found 0, expected int, at least 1"),
        (["ablation", "seed=3"], "a study trains with seeds 0 to N - 1"),
        (["ablation", "reference={fusion: sum}"], "no axis `fusion`"),
        (["fusions", "reference={fusion: som}"], "`fusion` has concat, sum, attention, attentive_pooling, not som"),
        (["fusions", "reference={modalities: text}"], "no cell with modalities text"),
        (["fusions", "group=speaker"], "the data have no columns"),
        (["ablation", "modalities=[text],[smell]"], "no 'smell' in the data"),
        (["ablation", "dataset.variant=look_or_listen,arithmetic"], "`dataset` differs"),
        (["ablation", "task.metric=accuracy,macro_f1"], "their scores cannot be compared"),
        (["ablation", "dry_run=yes"], "expected true or false"),
        (["ablation", "jobs=-1"], "`jobs`: found -1"),
        (["ablation", "jobbs=1"], "`jobbs`"),
    ],
)
def test_bad_input_is_told_before_anything_is_trained(tmp_path: Path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    more = [] if any(word.startswith("seed") for word in words) else ["seeds=2"]
    code = main(["study", *words, *more])

    assert (code, message in capsys.readouterr().err) == (2, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_study_killed_10_times_ends_the_same(tmp_path: Path):
    """SIGKILL to the process of the study and so to its workers, ten times.

    Moments are drawn over the lines that all cells write, so each falls into the work, however fast the machine is; a
    further wait, drawn too, moves it on into a step, an evaluation, a save or the start of a cell.
    """
    words = ["jobs=2", "trainer.epochs=6", "trainer.log_every_steps=1"]
    command = [sys.executable, "-m", "mmtrain", "study", "ablation", *TINY, *words]
    subprocess.run([*command, f"output_dir={tmp_path}/whole"], check=True, capture_output=True)
    draw, again = random.Random(0), [*command, f"output_dir={tmp_path}/killed"]
    for moment in sorted(draw.sample(range(written(tmp_path / "whole") * 9 // 10), 10)):
        with subprocess.Popen(again, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while written(tmp_path / "killed") < moment:
                assert process.poll() is None
                time.sleep(0.01)
            time.sleep(draw.uniform(0, 0.3))
            process.kill()
        assert process.returncode == -signal.SIGKILL
    last = subprocess.run(again, capture_output=True, text=True)

    assert last.returncode == 0, last.stderr
    assert rows(tmp_path / "killed/studies/ablation") == rows(tmp_path / "whole/studies/ablation")


def written(outputs: Path) -> int:
    """Lines that the cells of a study have written."""
    return sum(path.read_bytes().count(b"\n") for path in outputs.glob("studies/*/cells/*/*/metrics.jsonl"))


@pytest.mark.slow
def test_a_stopped_study_saves_and_says_how_to_go_on(tmp_path: Path):
    """SIGTERM to the study while its workers train: exit code 143, and the same command ends it."""
    command = [sys.executable, "-m", "mmtrain", "study", "ablation", *TINY, "jobs=2", f"output_dir={tmp_path}"]
    process = subprocess.Popen([*command, "trainer.epochs=200"], stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("studies/ablation/cells/*/*/checkpoints/step_*")):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)

    assert "the same command goes on where it was" in process.communicate()[1]
    assert process.returncode == 143

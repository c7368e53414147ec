"""A run that is stopped anywhere and resumed ends like one that was not, to the bit."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mmtrain import finish, loop, training
from mmtrain.data.builtin.three import BuiltinSource
from mmtrain.errors import CheckpointError, ConfigError, DataError, Stopped
from mmtrain.run import Run
from mmtrain.trained import read_config, require_open_end
from tests import tiny

HARD = ("trainer.ema_decay=0.9", "trainer.accumulate=2", "fusion.dropout=0.2", "trainer.save_every_steps=3")
"""Moving average, accumulation, dropout, and checkpoints that are not at the end of an epoch."""
LAST = 8


class Killed(BaseException):
    """Stands for SIGKILL: nothing handles it."""


def kill_after(monkeypatch: pytest.MonkeyPatch, step: int, name: str = "rest") -> None:
    """Ends the run when `loop.<name>` is entered at that step."""
    real: Callable[[Run], None] = getattr(loop, name)

    def deadly(run: Run, *rest: object) -> None:
        if run.state.progress.step == step:
            raise Killed
        real(run, *rest)

    monkeypatch.setattr(loop, name, deadly)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody stopped."""
    return tiny.train(tmp_path_factory.mktemp("whole"), *HARD)


def resumed(folder: Path, *changes: str) -> Path:
    given = dict(change.split("=") for change in changes)
    return training.resume(folder, read_config(folder, None, given))


def only_run(tmp_path: Path) -> Path:
    return next((tmp_path / "outputs" / "train").iterdir())


@pytest.mark.parametrize("step", [1, 3, 4, 5, LAST])
def test_a_run_killed_between_steps_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path, step: int
) -> None:
    """Killed after the first step, at a checkpoint, at the end of an epoch, after it, and after the last step."""
    with monkeypatch.context() as patch:
        kill_after(patch, step)
        with pytest.raises(Killed):
            tiny.train(tmp_path, *HARD)
    folder = resumed(only_run(tmp_path))

    tiny.assert_same_end(folder, whole, LAST)


@pytest.mark.parametrize(("step", "name"), [(0, "validate"), (4, "validate"), (4, "save"), (LAST, "_tell")])
def test_a_run_killed_inside_an_evaluation_or_save_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path, step: int, name: str
) -> None:
    """At its first evaluation, at a later one, before a save, and in the last step; step 0 has nothing to resume."""
    with monkeypatch.context() as patch:
        kill_after(patch, step, name)
        with pytest.raises(Killed):
            tiny.train(tmp_path, *HARD)
    if step == 0:
        with pytest.raises(CheckpointError, match="no usable checkpoint"):
            resumed(only_run(tmp_path))
        return
    tiny.assert_same_end(resumed(only_run(tmp_path)), whole, LAST)


def test_a_resumed_run_that_is_killed_again_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path
) -> None:
    """Killed at every step in turn, each time resumed from the checkpoint before."""
    for step in range(1, LAST + 1):
        with monkeypatch.context() as patch:
            kill_after(patch, step)
            with pytest.raises(Killed):
                tiny.train(tmp_path, *HARD) if step == 1 else resumed(only_run(tmp_path))

    tiny.assert_same_end(resumed(only_run(tmp_path)), whole, LAST)


@pytest.mark.parametrize(
    "options",
    [
        ("plan=balanced", "augment/text=word_dropout", "augment/image=trivial", "augment/audio=standard"),
        ("plan=bucketed", "plan.window=2", "technique.mixing=cutmix"),
        ("plan=sharded", "plan.window=20"),
    ],
    ids=["balanced, augmented", "bucketed, mixed", "sharded"],
)
def test_every_order_and_every_augmentation_can_be_resumed_within_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path, options: tuple[str, ...]
) -> None:
    """Killed in the second epoch and resumed with worker processes, a run ends as the one that nobody stopped."""
    shards = property(lambda source: [range(start, len(source.ids), 3) for start in range(3)])
    monkeypatch.setattr(BuiltinSource, "shards", shards, raising=False)
    options += ("trainer.save_every_steps=5",)
    planned = tiny.train(tmp_path / "planned", *options)
    with monkeypatch.context() as patch:
        kill_after(patch, 6)
        with pytest.raises(Killed):
            tiny.train(tmp_path, *options)
    folder = resumed(only_run(tmp_path), "trainer.num_workers=2")

    tiny.assert_same_end(folder, planned, LAST)
    assert tiny.rows(folder) != tiny.rows(whole)


def test_workers_do_not_change_the_run(tmp_path: Path, whole: Path) -> None:
    """Two processes that read the data give the same weights and numbers as none."""
    tiny.assert_same_end(tiny.train(tmp_path, *HARD, "trainer.num_workers=2"), whole, LAST)


def test_evaluating_more_often_does_not_change_the_weights(tmp_path: Path, whole: Path) -> None:
    """An evaluation draws nothing that training would have drawn."""
    often = tiny.train(tmp_path, *HARD, "trainer.evaluate_unit=step", "trainer.evaluate_every=1")
    ours, theirs = tiny.weights(often, LAST), tiny.weights(whole, LAST)

    assert all((ours[name] == theirs[name]).all() for name in theirs)
    assert len(tiny.rows(often)) > len(tiny.rows(whole))


def test_another_seed_gives_another_run(tmp_path: Path, whole: Path) -> None:
    """Else the tests above would prove nothing."""
    other = tiny.weights(tiny.train(tmp_path, *HARD, "seed=1"), LAST)

    assert any((other[name] != tensor).any() for name, tensor in tiny.weights(whole, LAST).items())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends_with_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path, number: int
) -> None:
    """The signal comes in the middle of step 2: it is finished and saved, and the run goes on from there."""
    real = loop.train_step

    def interrupted(run: Run, *arguments: object) -> None:
        if run.state.progress.step == 1:
            os.kill(os.getpid(), number)
        real(run, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_step", interrupted)
        with pytest.raises(Stopped, match="mmtrain resume") as stopped:
            tiny.train(tmp_path, *HARD)
    assert stopped.value.code == 128 + number
    folder = only_run(tmp_path)
    assert (folder / "checkpoints" / "step_00000002").is_dir()
    assert json.loads((folder / "error.json").read_text())["code"] == 128 + number
    tiny.assert_same_end(resumed(folder), whole, LAST)


def test_a_signal_in_an_evaluation_has_it_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path
) -> None:
    """The evaluation under way is given up; after the resume it is made, once."""
    real = loop.validate

    def interrupted(run: Run) -> None:
        if run.state.progress.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        real(run)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "validate", interrupted)
        with pytest.raises(Stopped):
            tiny.train(tmp_path, *HARD)
    tiny.assert_same_end(resumed(only_run(tmp_path)), whole, LAST)


def test_resuming_a_finished_run_does_nothing(tmp_path: Path) -> None:
    """Its files keep their content."""
    folder = tiny.train(tmp_path)
    before = {path: path.read_bytes() for path in folder.rglob("*.safetensors")}
    resumed(folder)

    assert {path: path.read_bytes() for path in folder.rglob("*.safetensors")} == before
    assert [row["kind"] for row in tiny.rows(folder)].count("end") == 1


def test_a_damaged_newest_checkpoint_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path) -> None:
    """The one before is used, and the end is still the same."""
    with monkeypatch.context() as patch:
        kill_after(patch, 7)
        with pytest.raises(Killed):
            tiny.train(tmp_path, *HARD)
    folder = only_run(tmp_path)
    (folder / "checkpoints" / "step_00000006" / "model.safetensors").write_bytes(b"damaged")
    tiny.assert_same_end(resumed(folder), whole, LAST)


def test_changed_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run does not go on with other rows than it began with."""
    with monkeypatch.context() as patch:
        kill_after(patch, 3)
        with pytest.raises(Killed):
            tiny.train(tmp_path)
    folder = only_run(tmp_path)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["dataset"]["seed"] = 5
    (folder / "config.yaml").write_text(yaml.safe_dump(config))

    with pytest.raises(DataError, match="the data has changed"):
        resumed(folder)


def test_only_an_open_ended_run_can_be_made_longer(tmp_path: Path) -> None:
    """The rate of a cosine was drawn up for the first length; a constant one goes on."""
    config = tiny.config(tmp_path)
    with pytest.raises(ConfigError, match="schedule=constant"):
        require_open_end(config, {"trainer.epochs": "9"})

    require_open_end(tiny.config(tmp_path, "schedule=constant"), {"trainer.epochs": "9"})


def test_a_longer_run_under_a_constant_rate_is_the_same_as_one_planned_so(tmp_path: Path) -> None:
    """One epoch, then resumed for a second one, equals two epochs from the start."""
    planned = tiny.train(tmp_path / "planned", "schedule=constant")
    folder = resumed(tiny.train(tmp_path, "schedule=constant", "trainer.epochs=1"), "trainer.epochs=2")
    tiny.assert_same_end(folder, planned, LAST)


def test_a_run_killed_while_it_tests_tests_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path) -> None:
    """Killed after the test's row was written and before the run was done: the row is not there twice."""

    def deadly(*arguments: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(finish, "write_table", deadly)
        with pytest.raises(Killed):
            tiny.train(tmp_path, *HARD)
    tiny.assert_same_end(resumed(only_run(tmp_path)), whole, LAST)


def _as_usual(body: Callable[..., object], *arguments: object) -> None:
    """Calls it; its own processes start as they do on Linux, not as this one did."""
    multiprocessing.set_start_method("fork", force=True)
    body(*arguments)


@pytest.mark.slow
def test_20_runs_killed_at_random_moments_end_the_same(tmp_path: Path) -> None:
    """SIGKILL to the process, twice a run, at moments drawn over a run's whole time; every other run has 2 workers.

    The processes are forked from one that has imported all there is, so a moment falls into the run, not before it.
    """
    options = (*HARD, "trainer.epochs=6", "trainer.evaluate_unit=step", "trainer.evaluate_every=2")
    warm = multiprocessing.get_context("forkserver")
    warm.set_forkserver_preload([__name__])

    def lives(body: Callable[..., object], *arguments: object, until: float | None) -> bool:
        """Whether the process comes to its end; it is killed after so many seconds."""
        process = warm.Process(target=_as_usual, args=(body, *arguments))
        process.start()
        process.join(until)
        killed = process.is_alive()
        process.kill()
        process.join()
        assert killed or process.exitcode == 0
        return not killed

    start = time.monotonic()
    assert lives(tiny.train, tmp_path / "whole", *options, until=None)
    needed = time.monotonic() - start
    whole = only_run(tmp_path / "whole")
    draw = random.Random(0)
    resumes = 0
    for number in range(20):
        place = tmp_path / f"killed_{number}"
        folder = None
        for moment in (draw.uniform(0, needed), draw.uniform(0, needed), None):
            if folder is None:
                ended = lives(tiny.train, place, *options, f"trainer.num_workers={2 * (number % 2)}", until=moment)
            else:
                ended = lives(resumed, folder, until=moment)
                resumes += 1
            if ended:
                break
            folder = next(iter(place.glob("outputs/train/*")), None)
            if folder is not None and not list(folder.glob("checkpoints/step_*")):
                shutil.rmtree(folder)  # killed before its first checkpoint: there is nothing to go on from
                folder = None
        tiny.assert_same_end(only_run(place), whole, 24)

    assert resumes >= 10, "too few of the moments fell into the training itself to prove anything"

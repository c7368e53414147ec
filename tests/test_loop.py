"""The loop: what an optimizer step sees, when it evaluates and saves, and when it stops."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mmtrain import loop
from mmtrain.contracts import Batch
from mmtrain.data.plan import uniform
from mmtrain.errors import NonFiniteError
from mmtrain.layers import LinearHead
from mmtrain.run import Run
from tests import tiny

NO_BATCH_STATISTICS = ("encoder/image=conv2", "encoder/audio=mel_cnn")


def steps(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def test_a_batch_in_parts_gives_the_same_steps(tmp_path: Path) -> None:
    """20 rows at once and 20 rows in four parts: the losses agree, without dropout and BatchNorm."""
    whole = tiny.rows(tiny.train(tmp_path / "whole", *NO_BATCH_STATISTICS))
    parts = tiny.rows(tiny.train(tmp_path / "parts", *NO_BATCH_STATISTICS, "trainer.accumulate=4"))

    for one, other in zip(whole, parts, strict=True):
        if "loss" in one:
            assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)


def test_an_epoch_draws_every_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs, in parts: each id twice, and not in the same order."""
    seen: list[str] = []
    real = loop.train_step

    def noted(run: Run, model: nn.Module, micros: list[Batch]) -> None:
        seen.extend(name for batch in micros for name, weight in zip(batch.ids, batch.weight, strict=True) if weight)
        real(run, model, micros)

    monkeypatch.setattr(loop, "train_step", noted)
    tiny.train(tmp_path, "trainer.accumulate=3")

    assert len(seen) == 144
    assert set(seen[:72]) == set(seen[72:])
    assert len(set(seen[:72])) == 72
    assert seen[:72] != seen[72:]


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    """The same call gives the same plan; another seed or epoch another one."""
    plans = [uniform(range(50), seed=s, epoch=e, batch_size=8) for s, e in ((0, 0), (0, 0), (0, 1), (1, 0))]

    assert plans[0] == plans[1]
    assert plans[0] != plans[2]
    assert plans[0] != plans[3]
    assert [len(batch) for batch in plans[0]] == [8, 8, 8, 8, 8, 8, 2]


def test_it_evaluates_before_the_first_step_and_after_every_epoch(tmp_path: Path) -> None:
    """Two epochs of four steps: val at 0, 4 and 8, test once, at the end."""
    evaluations = [row for row in tiny.rows(tiny.train(tmp_path)) if row["kind"] == "evaluation"]

    assert [(row["split"], row["step"]) for row in evaluations] == [("val", 0), ("val", 4), ("val", 8), ("test", 8)]


def test_max_steps_ends_within_an_epoch(tmp_path: Path) -> None:
    """Three steps: evaluated and saved there."""
    folder = tiny.train(tmp_path, "trainer.max_steps=3")

    assert "step_00000003" in steps(folder)
    assert tiny.rows(folder)[-1]["kind"] == "end"


def test_the_best_and_the_newest_checkpoints_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Best at step 2 of 8, two kept: the folder has 2, 7 and 8, and the test uses 2."""
    scores = iter([0.1, 0.2, 0.9, *[0.3] * 6, 0.5])
    monkeypatch.setattr(
        "mmtrain.tasks.classification.Classification.metrics", lambda self, results: {"accuracy": next(scores)}
    )
    folder = tiny.train(tmp_path, "trainer.evaluate_unit=step", "trainer.evaluate_every=1")

    assert steps(folder) == ["step_00000002", "step_00000007", "step_00000008"]
    assert tiny.rows(folder)[-1]["best_step"] == 2


def test_it_stops_when_validation_has_not_improved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience 2, best at step 1: it ends at step 3 of 8."""
    scores = iter([0.1, 0.9, 0.3, 0.3, 0.5])
    monkeypatch.setattr(
        "mmtrain.tasks.classification.Classification.metrics", lambda self, results: {"accuracy": next(scores)}
    )
    options = ("trainer.evaluate_unit=step", "trainer.evaluate_every=1", "trainer.patience=2")
    folder = tiny.train(tmp_path, *options)

    assert tiny.rows(folder)[-1]["step"] == 3


def test_a_score_that_is_nan_is_never_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """nan at step 4, a poor number at step 0: step 0 stays the best."""
    scores = iter([0.1, float("nan"), float("nan"), 0.1])
    monkeypatch.setattr(
        "mmtrain.tasks.classification.Classification.metrics", lambda self, results: {"accuracy": next(scores)}
    )

    assert tiny.rows(tiny.train(tmp_path))[-1]["best_step"] == 0


def poison(monkeypatch: pytest.MonkeyPatch, calls: set[int]) -> None:
    """Turns the first output of some training calls of the head into nan."""
    real = LinearHead.forward
    count = 0

    def forward(self: LinearHead, fused: object) -> Tensor:
        nonlocal count
        outputs = real(self, fused)  # type: ignore[arg-type]
        if not self.training:
            return outputs
        count += 1
        return (
            torch.where(torch.arange(len(outputs)).unsqueeze(1) == 0, torch.nan, outputs) if count in calls else outputs
        )

    monkeypatch.setattr(LinearHead, "forward", forward)


def test_a_loss_that_is_not_finite_stops_before_the_weights_move(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nan in the third step: exit code 4, the row is named, the last checkpoint is finite, step 3 is not in it."""
    poison(monkeypatch, {3})
    with pytest.raises(NonFiniteError, match=r"step 3 .*Rows with a non-finite output: train-\d+\. ") as error:
        tiny.train(tmp_path, "trainer.save_every_steps=1")
    folder = next((tmp_path / "outputs" / "train").iterdir())

    assert error.value.code == 4
    assert steps(folder)[-1] == "step_00000002"
    assert json.loads((folder / "error.json").read_text())["code"] == 4


def test_a_bad_step_can_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """on_nonfinite=skip: the run ends with finite weights and the step is on record."""
    poison(monkeypatch, {3})
    folder = tiny.train(tmp_path, "trainer.on_nonfinite=skip")

    assert [row["step"] for row in tiny.rows(folder) if row["kind"] == "nonfinite"] == [2]
    assert all(bool(torch.isfinite(tensor).all()) for tensor in tiny.weights(folder, 8).values())


def test_five_bad_steps_in_a_row_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaving steps out for ever would train nothing and end with code 0."""
    poison(monkeypatch, set(range(1, 100)))

    with pytest.raises(NonFiniteError, match="step 5"):
        tiny.train(tmp_path, "trainer.on_nonfinite=skip")


@pytest.mark.parametrize("option", ["precision=bf16", "trainer.channels_last=true", "optimizer=sgd", "schedule=linear"])
def test_ways_to_compute_that_are_off_by_default_train(tmp_path: Path, option: str) -> None:
    """Each ends with finite losses in every row."""
    rows = tiny.rows(tiny.train(tmp_path, option))

    assert all(isinstance(row["loss"], float) for row in rows if "loss" in row)


def test_profiling_writes_a_trace(tmp_path: Path) -> None:
    """Two steps are traced into the run's folder."""
    folder = tiny.train(tmp_path, "trainer.profile_steps=2")

    assert (folder / "profile" / "steps_1_to_2.json").stat().st_size > 1000

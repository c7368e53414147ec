"""Averages of weights at the end of a run and over its steps: what is in them, and that a kill changes nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from mmtrain import checkpoint, soup
from mmtrain.api import load
from mmtrain.peers import Peers
from mmtrain.run import Run
from mmtrain.soup import mean
from mmtrain.state import Progress, weights_of
from tests import tiny
from tests.test_resume import Killed, kill_after, only_run, resumed


def test_the_mean_of_weights_leaves_counters_alone() -> None:
    """1 and 4 are 2.5; of two counters the first stays."""
    parts = [{"w": torch.tensor([1.0]), "n": torch.tensor(3)}, {"w": torch.tensor([4.0]), "n": torch.tensor(9)}]

    assert {name: value.tolist() for name, value in mean(parts).items()} == {"w": [2.5], "n": 3}


@pytest.mark.parametrize(
    ("higher", "top", "stale"), [(True, [(3, 5.0), (5, 5.0)], 2), (False, [(2, 1.0), (1, 4.0)], 3)]
)
def test_the_best_evaluations_are_remembered(higher: bool, top: list[tuple[int, float]], stale: int) -> None:
    """4, 1, 5, nan and 5 again: of equal ones the earlier is the better, and nan is none."""
    progress = Progress()
    for step, value in enumerate((4.0, 1.0, 5.0, float("nan"), 5.0), 1):
        progress.step = step
        progress.note(value, higher_is_better=higher, keep=2, patient=False)

    assert (progress.top, progress.best_step, progress.stale) == (top, top[0][0], stale)


def test_a_checkpoint_joins_where_validation_gains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores are -|w - 2|: w = 1 and 4 have the mean 2.5, better than 1; with -1 besides it would be 4/3, worse."""
    model = torch.nn.Linear(1, 1, bias=False)
    for step, weight in ((10, 1.0), (20, 4.0), (30, -1.0)):
        checkpoint.save(
            tmp_path / "checkpoints", step, {"model": {"weight": torch.tensor([[weight]])}, "optim": {}}, {}, {}
        )
    rows: list[dict[str, object]] = []
    run = SimpleNamespace(
        folder=tmp_path,
        task=SimpleNamespace(higher_is_better=True, metric="score", metrics=lambda w: {"score": -abs(w - 2)}),
        model=model,
        state=SimpleNamespace(progress=Progress(top=[(10, -1.0), (20, -2.0), (30, -3.0)])),
        recorder=SimpleNamespace(
            write=lambda kind, step, **values: rows.append({"kind": kind, "step": step, **values})
        ),
        peers=Peers(),
    )
    monkeypatch.setattr(soup, "score", lambda run, split: run.model.weight.item())

    soup.greedy(cast(Run, run))

    assert rows == [{"kind": "soup", "step": 10, "steps": [10, 20], "score": -0.5}]
    assert weights_of(checkpoint.at_step(tmp_path / "checkpoints", 10).tensors)["weight"].item() == 2.5


@pytest.mark.parametrize("step", [6, 16])
def test_a_soup_is_made_again_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Killed on the way and after the last step, before the soup: the same rows and weights as without."""
    options = ("trainer.soup=4", "trainer.epochs=4", "schedule=constant", "trainer.swa_from=0.4")
    whole = tiny.train(tmp_path / "whole", *options)
    with monkeypatch.context() as patch:
        kill_after(patch, step)
        with pytest.raises(Killed):
            tiny.train(tmp_path, *options)
    folder = resumed(only_run(tmp_path))

    tiny.assert_same_end(folder, whole, 16)
    best = next(row["best_step"] for row in tiny.rows(whole) if row["kind"] == "end")
    one, other = (tiny.weights(path, int(str(best))) for path in (folder, whole))
    assert [name for name in other if not torch.equal(one[name], other[name])] == []
    (made,) = [row for row in tiny.rows(whole) if row["kind"] == "soup"]
    assert made["accuracy"] >= max(row["accuracy"] for row in tiny.rows(whole) if row.get("split") == "val")
    assert load(whole).step == best

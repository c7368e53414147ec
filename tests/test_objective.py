"""Techniques in a run: they add up, they are watched, and parts of a batch or a resume change nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmtrain import build
from mmtrain.contracts import Draw
from mmtrain.data.loader import batches
from mmtrain.errors import ConfigError
from mmtrain.imbalance import Vote, lone_worker
from mmtrain.objective import Balance, Objective
from mmtrain.peers import Peers
from mmtrain.settings import TechniqueSettings
from tests import tiny
from tests.test_resume import Killed, kill_after, only_run, resumed

ALL = (
    "technique.modality_dropout=0.3",
    "technique.null_tokens=true",
    "technique.unimodal_weight=0.5",
    "technique.unimodal_steps=2",
    "technique.ogm_ge=0.3",
    "technique.mmpareto=1.5",
    "technique.alignment=0.1",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every technique."""
    return tiny.train(tmp_path_factory.mktemp("whole"), *ALL)


def test_every_technique_together_survives_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Path) -> None:
    """Killed within the second epoch and resumed, the run ends with the same bits."""
    with monkeypatch.context() as patch:
        kill_after(patch, 6)
        with pytest.raises(Killed):
            tiny.train(tmp_path, *ALL)

    tiny.assert_same_end(resumed(only_run(tmp_path)), whole, 8)


def test_first_steps_train_the_modalities_alone(tmp_path: Path) -> None:
    """Three of eight steps: the fusion and the joint head are then what they were at first, the encoders are not."""
    options = ("technique.unimodal_weight=0.5", "optimizer.weight_decay=0", "trainer.save_every_steps=1")
    options += ("trainer.keep_last=9", "fusion=sum")
    run = tiny.train(tmp_path, *options, "technique.unimodal_steps=3")
    first, third, fourth = (tiny.weights(run, step) for step in (0, 3, 4))
    joint = [name for name in first if name.startswith(("model/fusion.", "model/head."))]
    losses = [row for row in tiny.rows(run) if row["kind"] == "train"]

    assert all(torch.equal(first[name], third[name]) for name in joint)
    assert all(not torch.equal(third[name], fourth[name]) for name in joint)
    assert not torch.equal(first["model/projections.text.0.weight"], third["model/projections.text.0.weight"])
    for row, alone in zip(losses, [True] * 3 + [False] * 5, strict=True):
        heads = 0.5 * sum(row[f"loss_{name}"] for name in ("text", "image", "audio"))
        assert (row["loss"] == pytest.approx(heads)) == alone


def test_blended_weights_survive_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured at steps 0, 3 and 6, killed after 5: the same bits at the end, and the loss is the weighted sum."""
    options = ("technique.unimodal_weight=0.5", "technique.gradient_blending=3")
    whole = tiny.train(tmp_path / "whole", *options)
    with monkeypatch.context() as patch:
        kill_after(patch, 5)
        with pytest.raises(Killed):
            tiny.train(tmp_path / "killed", *options)
    tiny.assert_same_end(resumed(only_run(tmp_path / "killed")), whole, 8)
    rows = [row for row in tiny.rows(whole) if row["kind"] == "blending"]
    weights = [[row[key] for key in ("weight", "weight_text", "weight_image", "weight_audio")] for row in rows]

    assert [row["step"] for row in rows] == [0, 3, 6]
    assert weights[0] == pytest.approx([0.4, 0.2, 0.2, 0.2])
    assert weights[1] != pytest.approx(weights[0])
    assert all(sum(one) == pytest.approx(1) and min(one) >= 0.1 / 4 for one in weights)


def test_modalities_are_watched(whole: Path) -> None:
    """Each logged step has loss, likelihood and gradient norm of each; at the end each head is scored, and all."""
    rows = tiny.rows(whole)
    logged = [row for row in rows if row["kind"] == "train"]
    heads = [row["head"] for row in rows if row["kind"] == "unimodal"]

    for row in logged:
        for name in ("text", "image", "audio"):
            assert row[f"loss_{name}"] > 0
            assert row[f"grad_norm_{name}"] > 0
            assert 0 < row[f"likelihood_{name}"] < 1
    assert heads == ["text", "image", "audio", "ensemble"]


def test_parts_of_a_batch_give_the_same_gradients(tmp_path: Path) -> None:
    """MMPareto's joint and unimodal gradients of 20 rows, at once and in two parts."""
    settings = TechniqueSettings(unimodal_weight=0.5, mmpareto=1.5)
    config = tiny.config(tmp_path, "encoder/image=conv2", "encoder/audio=mel_cnn", "technique.unimodal_weight=0.5")
    torch.manual_seed(0)
    parts = build.build(config)
    objective = Objective(parts.model.train(), parts.task, SimpleNamespace(autocast=torch.enable_grad), settings)
    found = []
    for sizes in ((20,), (8, 12)):
        parts.model.zero_grad()
        balance, start = Balance(parts.model, settings, Peers(), None), 0
        for size in sizes:
            plan = [[Draw(row, row) for row in range(start, start + size)]]
            balance.backward(objective(next(batches(parts.data, plan, train=False))), 20.0)
            start += size
        balance.adjust(0, 0, watch=False)
        found.append([p.grad.clone() for part in parts.model.branches().values() for p in part])

    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


def test_a_vote_is_the_mean_of_those_that_a_row_has() -> None:
    """Heads that say (1, 2) and (5, 8); a row without either gets zeros."""
    answers = SimpleNamespace(unimodal={"a": torch.tensor([[1.0, 2.0]] * 3), "b": torch.tensor([[5.0, 8.0]] * 3)})
    masks = {"a": torch.tensor([[True], [True], [False]]), "b": torch.tensor([[True], [False], [False]])}
    batch = SimpleNamespace(signals={name: SimpleNamespace(mask=mask) for name, mask in masks.items()})
    model = torch.nn.Module()
    model.answers = lambda _: answers

    assert Vote(model, ["a", "b"])(batch).tolist() == [[3.0, 5.0], [1.0, 2.0], [0.0, 0.0]]
    assert Vote(model, ["b"])(batch).tolist() == [[5.0, 8.0], [0.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("values", "joint", "expected"),
    [
        ({"text": 0.9, "image": 0.5}, 0.91, "text"),
        ({"text": 0.9, "image": 0.5}, 0.95, None),
        ({"text": 0.9, "image": 0.89}, 0.91, None),
        ({"text": 0.9}, 0.9, None),
    ],
    ids=["alone", "the other helps", "two that say the same", "only one"],
)
def test_one_modality_does_the_work_alone(values: dict[str, float], joint: float, expected: str | None) -> None:
    """As good as all together, and better than every other, by two standard errors of .01."""
    assert lone_worker(values, joint, 0.02, higher_is_better=True) == expected


def test_one_modality_does_the_work_alone_where_less_is_better() -> None:
    assert lone_worker({"text": 1.0, "image": 3.0}, 0.99, 0.1, higher_is_better=False) == "text"


def test_heads_are_refused_for_a_task_without_logits(tmp_path: Path) -> None:
    config = tiny.config(tmp_path, "technique.unimodal_weight=1")
    parts = build.build(config)
    task = SimpleNamespace(make_head=parts.task.make_head)

    with pytest.raises(ConfigError, match=r"`technique\.unimodal_weight`: the outputs of SimpleNamespace are no"):
        build.build_model(config, parts.settings, parts.data.spec, task)

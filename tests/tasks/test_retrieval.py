"""Retrieval: both losses by hand, matches by label, ranks with ties and gaps, what needs no target."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mmtrain.contracts import Batch, DataSpec, Fused, Results, Signal, SignalSpec, Tokens
from mmtrain.similarity import nearest, search
from mmtrain.target import Target, TargetSpec
from mmtrain.tasks.retrieval import Retrieval

SIGNALS = {name: SignalSpec(name, name, length=3) for name in ("text", "audio")}
SPEC = DataSpec(SIGNALS, {"kind": TargetSpec("kind", "class", ("cat", "dog"), (2, 2))})
UNITS = torch.eye(2)


def batch(labels: list[int], present: list[tuple[bool, bool]], weight: list[float] | None = None) -> Batch:
    masks = torch.tensor(present)  # [B,2]
    signals = {name: Signal(torch.zeros(len(labels), 1), masks[:, at : at + 1]) for at, name in enumerate(SIGNALS)}
    targets = {"kind": Target(torch.tensor(labels), torch.tensor([True] * len(labels)))}
    weights = torch.tensor(weight or [1.0] * len(labels))
    return Batch(signals, targets, [str(row) for row in range(len(labels))], torch.zeros(len(labels)), weights, {})


def outputs(text: Tensor, audio: Tensor, *, scale: float = 1.0, bias: float | None = None) -> dict[str, object]:
    rows = len(text)
    given = {"vectors": {"text": text, "audio": audio}, "scale": torch.full((rows,), scale)}
    return given if bias is None else {**given, "bias": torch.full((rows,), bias)}


def results(text: list[list[float]], audio: list[list[float]], labels: list[int] | None = None) -> Results:
    targets = {} if labels is None else {"kind": Target(torch.tensor(labels), torch.tensor([True] * len(labels)))}
    vectors = {"text": torch.tensor(text), "audio": torch.tensor(audio)}
    return Results([f"r{row}" for row in range(len(text))], vectors, targets, 0.0)


def test_clip_is_the_symmetric_cross_entropy() -> None:
    """Two rows, each like its partner and at right angles to the other: log(1 + 1/e) a row."""
    task, rows = Retrieval(SPEC, loss="clip"), batch([0, 1], [(True, True)] * 2)

    assert task.weight(rows) == 2.0
    assert task.loss(outputs(UNITS, UNITS), rows).item() == pytest.approx(2 * math.log(1 + 1 / math.e))


def test_siglip_asks_about_every_pair_of_rows() -> None:
    """Scale 2, bias -1: a match has the logit 1, another row -1, and each is right with the same probability."""
    task, rows = Retrieval(SPEC), batch([0, 1], [(True, True)] * 2)

    assert task.loss(outputs(UNITS, UNITS, scale=2, bias=-1), rows).item() == pytest.approx(
        4 * math.log(1 + 1 / math.e)
    )


@pytest.mark.parametrize("loss", ["clip", "siglip"])
def test_rows_of_one_label_match(loss: str) -> None:
    """With labels it is right that all four are alike; without, the loss asks for the impossible."""
    alike = outputs(UNITS[:1].expand(2, -1), UNITS[:1].expand(2, -1), scale=10, bias=-5)
    rows = batch([1, 1], [(True, True)] * 2)
    aware, blind = (Retrieval(SPEC, loss=loss, target=target).loss(alike, rows).item() for target in ("kind", None))

    assert aware == pytest.approx(2 * math.log(2) if loss == "clip" else 4 * math.log(1 + math.exp(-5)))
    assert aware == pytest.approx(blind) if loss == "clip" else aware < blind / 10


@pytest.mark.parametrize("loss", ["clip", "siglip"])
def test_a_row_that_lacks_a_modality_or_fills_the_batch_changes_nothing(loss: str) -> None:
    """What stands in the place of its vectors is never read, nan included."""
    lacking = torch.cat([UNITS, torch.full((2, 2), torch.nan)]).requires_grad_()
    task = Retrieval(SPEC, loss=loss)
    two = task.loss(outputs(UNITS, UNITS, bias=0), batch([0, 1], [(True, True)] * 2))
    rows = batch([0, 1, 0, 0], [(True, True), (True, True), (True, False), (True, True)], [1, 1, 1, 0])
    four = task.loss(outputs(lacking, torch.cat([UNITS, UNITS]), bias=0), rows)
    four.backward()

    assert task.weight(rows) == 2.0
    assert four.item() == pytest.approx(two.item())
    assert lacking.grad is not None
    assert bool(lacking.grad[:2].isfinite().all())


def test_ranks_of_a_case_by_hand() -> None:
    """The first two find their own; the third is nearer to both others than to its own."""
    text = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    found = search(text, np.array([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), np.array([0, 1, 1]))

    assert found["recall_at_1"] == pytest.approx(2 / 3)
    assert (found["recall_at_5"], found["median_rank"]) == (1.0, 1.0)
    assert found["precision_at_1"] == 1.0, "what is nearest to the third is of its label"
    assert found["chance_recall_at_1"] == pytest.approx(1 / 3)
    assert found["chance_precision_at_1"] == pytest.approx((1 / 3 + 2 / 3 + 2 / 3) / 3)


def test_equals_share_their_places() -> None:
    """Of three equal vectors each has the place 2; nothing is gained by giving every row the same vector."""
    same = np.array([[1.0, 0.0]] * 3)

    assert search(same, same, None)["median_rank"] == 2.0
    assert search(same, same, None)["recall_at_1"] == 0.0


def test_rows_without_a_modality_are_neither_asked_nor_found() -> None:
    gap = [math.nan, math.nan]
    found = search(np.array([[1.0, 0.0], gap]), np.array([[1.0, 0.0], [0.0, 1.0]]), None)

    assert (found["recall_at_1"], found["chance_recall_at_1"]) == (1.0, 0.5)
    assert math.isnan(search(np.array([gap]), np.array([[1.0, 0.0]]), None)["median_rank"])
    assert nearest(np.array([[0.0, 1.0], gap]), np.array([gap, [0.0, 1.0]]), count=2) == [[(1, 1.0)], []]


def test_metrics_and_table_name_both_ways() -> None:
    """A row without a sound has an empty vector, and is found by nobody."""
    task = Retrieval(SPEC, target="kind", metric="precision_at_1")
    rows = results([[1, 0], [0, 1]], [[1, 0], [math.nan, math.nan]], [0, 1])
    scores, columns = task.metrics(rows), task.table(rows)

    assert scores["text_to_audio_recall_at_1"] == scores["audio_to_text_recall_at_1"] == scores["recall_at_1"] == 1.0
    assert columns["prediction"] == ["r0", "r0"]
    assert [json.loads(str(cell)) if cell else None for cell in columns["audio_vector"]] == [[1, 0], None]


def test_the_head_gives_unit_vectors_and_a_scale_of_at_most_100() -> None:
    head = Retrieval(SPEC, embedding=5, loss="clip").make_head(4)
    torch.nn.init.constant_(head.log_scale, 9.0)
    by_modality = {name: torch.randn(3, 4) for name in SIGNALS}
    empty = Tokens(torch.zeros(3, 0, 4), torch.zeros(3, 0, dtype=torch.bool))
    made = head(Fused(torch.zeros(3, 4), empty, {}, by_modality, torch.ones(3, 2, dtype=torch.bool)))

    assert {name: tuple(part.shape) for name, part in made["vectors"].items()} == {"text": (3, 5), "audio": (3, 5)}
    torch.testing.assert_close(made["vectors"]["text"].norm(dim=1), torch.ones(3))
    torch.testing.assert_close(made["scale"], torch.full((3,), 100.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairs": [["text", "image"]]}, r"`pairs` .*: expected two of text, audio"),
        ({"pairs": [["text", "text"]]}, "`pairs`"),
        ({"metric": "precision_at_1"}, "name their column as `target`"),
    ],
)
def test_what_cannot_be_compared_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Retrieval(SPEC, **options)
    with pytest.raises(ValueError, match="two modalities at least"):
        Retrieval(DataSpec({"text": SIGNALS["text"]}, {}))

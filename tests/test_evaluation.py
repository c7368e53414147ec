"""A row that is read as several clips has one answer, the mean of the clips' probabilities, and both are scored."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import torch

from mmtrain import compose, training
from mmtrain.commands import evaluate
from mmtrain.contracts import DataSpec, Results
from mmtrain.errors import ConfigError
from mmtrain.evaluation import scores
from mmtrain.record import read_rows
from mmtrain.robustness.bench import Bench
from mmtrain.target import Target, TargetSpec
from mmtrain.tasks.classification import Classification
from mmtrain.tasks.regression import Regression
from mmtrain.tasks.tagging import Tagging
from mmtrain.trained import TrainedRun

TINY = (
    "experiment=video_classification",
    "dataset.train_rows=16",
    "dataset.val_rows=4",
    "dataset.test_rows=8",
    "reader.video.num_frames=3",
    "reader.video.size=16",
    "reader.video.clips=2",
    "encoder/video=frames",
    "width=16",
    "trainer.epochs=2",
    "trainer.batch_size=8",
    "trainer.tensorboard=false",
    "determinism=strict",
    "num_threads=1",
)


def logs(*probabilities: float) -> list[float]:
    return [math.log(value) for value in probabilities]


def test_the_probabilities_of_a_row_are_the_mean_of_its_clips():
    """.9 and .2 of the first class give .55, where the mean of the logits would give .6; so of a tag."""
    spec = DataSpec({}, {"label": TargetSpec("label", "class", ("a", "b"), (1, 1), 2)})
    clips = [torch.tensor([logs(0.9, 0.1)]), torch.tensor([logs(0.2, 0.8)])]
    joint = Classification(spec).pooled(clips)
    torch.testing.assert_close(joint.softmax(dim=-1), torch.tensor([[0.55, 0.45]]))

    tags = DataSpec({}, {"tags": TargetSpec("tags", "multilabel", ("a",), (1,), 2)})
    said = [torch.tensor([[math.log(9.0)]]), torch.tensor([[-math.log(4.0)]])]
    assert Tagging(tags).pooled(said).sigmoid().item() == pytest.approx(0.55)
    assert Tagging(tags).pooled([torch.tensor([[200.0]])] * 2).item() == pytest.approx(200), "finite where 1 - p is 0"

    numbers = DataSpec({}, {"size": TargetSpec("size", "number", rows=2)})
    assert Regression(numbers).pooled([torch.tensor([[1.0]]), torch.tensor([[4.0]])]).item() == 2.5


def test_clips_are_scored_one_by_one_beside_their_rows():
    """Two rows of class a, three clips each: two of the first row say so, one of the second, which is very sure."""
    spec = DataSpec({}, {"label": TargetSpec("label", "class", ("a", "b"), (1, 1), 2)})
    task = Classification(spec)
    sure, less, wrong = logs(0.99, 0.01), logs(0.7, 0.3), logs(0.3, 0.7)
    clips = [torch.tensor([less, sure]), torch.tensor([less, wrong]), torch.tensor([wrong, wrong])]
    truth = {"label": Target(torch.tensor([0, 0]), torch.tensor([True, True]))}

    found = scores(task, Results(["1", "2"], task.pooled(clips), truth, 0.0, clips=clips))

    assert found["accuracy"] == 1, "means of .57 and .53"
    assert found["clip_accuracy"] == 0.5
    assert "clip_accuracy" not in scores(task, Results(["1", "2"], clips[0], truth, 0.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training.start(compose.compose([*TINY, f"output_dir={tmp_path_factory.mktemp('clips')}"]))


def test_a_run_of_clips_scores_both_and_predicts_one_row_a_video(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Evaluated anew it scores the same; a video that is missing has an answer of its own."""
    final = [row for row in read_rows(folder) if row["kind"] == "evaluation"][-1]
    with (folder / "predictions" / "test.csv").open(newline="", encoding="utf-8") as file:
        said = list(csv.DictReader(file))

    assert len(said) == 8
    right = sum(row["prediction"] == row["direction"] for row in said)
    assert final["accuracy"] == right / 8
    run = TrainedRun(folder)
    assert run.evaluate("test") == pytest.approx({name: final[name] for name in run.evaluate("test")})
    evaluate.run([str(folder)])
    assert f"clip_accuracy {final['clip_accuracy']:.4g}" in capsys.readouterr().out
    results, _ = run.results(run.source(), "test")
    each = torch.stack([clip.softmax(dim=-1) for clip in results.clips])  # type: ignore[union-attr]
    assert len(each) == 2
    assert not torch.equal(each[0], each[1])
    torch.testing.assert_close(results.tensor.softmax(dim=-1), each.mean(dim=0))
    assert run.predict([{"video": ""}])["prediction"][0] in ("up", "down", "left", "right")


def test_robustness_refuses_clips(folder: Path) -> None:
    """It keeps the tokens of a row, of which here there are two sets."""
    with pytest.raises(ConfigError, match=r"`reader\.video\.clips`: .* train with 1"):
        Bench(TrainedRun(folder), "test")


def test_a_task_that_cannot_join_clips_refuses_them(tmp_path: Path) -> None:
    rows = ["dataset.train_rows=24", "dataset.val_rows=3", "dataset.test_rows=3"]
    config = compose.compose(["experiment=video_detection", "reader.video.clips=2", *rows, f"output_dir={tmp_path}"])
    with pytest.raises(ConfigError, match=r"`reader\.video\.clips` \(=2\): Detection does not join"):
        training.start(config)

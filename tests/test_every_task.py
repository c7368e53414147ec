"""Every task from a table to predictions: it learns, resumes to the bit, and its verbs agree with one another."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mmtrain import compose, training
from mmtrain.record import read_rows
from mmtrain.trained import TrainedRun
from tests import tiny
from tests.language_models import write_language_model
from tests.test_resume import Killed, kill_after, only_run, resumed

ROWS = 96
LAST = 36
TINY = (
    "dataset=table",
    "modalities=[text]",
    "encoder/text=bag_of_words",
    "width=16",
    "trainer.batch_size=16",
    "trainer.epochs=9",
    "trainer.save_every_steps=5",
    "trainer.ema_decay=0.5",
    "trainer.tensorboard=false",
    "trainer.log_every_steps=1",
    "optimizer.lr=0.02",
    "determinism=strict",
    "num_threads=1",
)
TASKS = {
    "tagging": ("task=tagging", "dataset.target=tags"),
    "regression": ("task=regression", "dataset.target=[size,price]", "task.target=[size,price]"),
    "captioning": (
        "task=captioning",
        "dataset.target=says",
        "task.references='; '",
        "task.max_length=6",
        "task.num_layers=1",
        "task.beam_size=2",
    ),
    "captioning_by_another": (
        "task=captioning",
        "dataset.target=says",
        "task.references='; '",
        "task.max_length=8",
        "task.decoder={folder}/language_model",
    ),
    "multi_task": (
        "task=multi_task",
        "dataset.target=[kind,size,tags]",
        "+task@task.tasks.what=classification",
        "+task@task.tasks.how=tagging",
        "+task@task.tasks.much=regression",
        "task.tasks.what.target=kind",
        "task.tasks.how.target=tags",
        "task.tasks.much.target=size",
        "task.metric=much_mae",
    ),
}
SCORES = {
    "tagging": {"mean_average_precision": 0.95, "micro_f1": 0.9},
    "regression": {"r2": 0.8, "size_r2": 0.8, "price_pearson": 0.8},
    "captioning": {"cider": 3.0, "rouge_l": 0.8},
    "captioning_by_another": {"cider": 3.0, "rouge_l": 0.8},
    "multi_task": {"what_accuracy": 0.9, "how_micro_f1": 0.8, "much_r2": 0.7},
}
"""Reached by a word each that says it; 0.5 is chance, 0 that of r2, and CIDEr is 0.5 before training."""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The text says the kind, the tags and the size; a third of the rows lack a size where another target is there."""
    path = tmp_path_factory.mktemp("table") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer, all_said = csv.writer(file), []
        writer.writerow(["id", "text", "kind", "tags", "size", "price", "says", "split"])
        for row in range(ROWS):
            kind, red, big = ("cat", "dog")[row % 2], row // 2 % 2, row // 4 % 2
            words = [kind, *["crimson"] * red, *["huge"] * big]
            tags = [kind, *["red"] * red, *["big"] * big]
            size = "" if row % 3 == 0 else f"{100 + 50 * big}"
            said = f"a {'big ' * big}{'red ' * red}{kind}"
            all_said += [said, f"{said} now"]
            split = "train" if row < 64 else "val" if row < 80 else "test"
            writer.writerow(
                [f"r{row}", " ".join(words), kind, "|".join(tags), size, f"{-2e3 * red}", f"{said}; {said} now", split]
            )
    write_language_model(path.parent / "language_model", sorted(set(all_said)))
    return path


def config(table: Path, outputs: Path, task: str) -> dict[str, object]:
    chosen = [word.format(folder=table.parent) for word in TASKS[task]]
    return compose.compose([*TINY, *chosen, f"dataset.path={table}", f"output_dir={outputs}/outputs"])


@pytest.fixture(scope="module", params=TASKS)
def whole(request: pytest.FixtureRequest, table: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A task, and a run of it that nobody stopped."""
    return request.param, training.start(config(table, tmp_path_factory.mktemp("whole"), request.param))


def final(folder: Path) -> dict[str, object]:
    return [row for row in read_rows(folder) if row["kind"] == "evaluation"][-1]


def test_it_learns(whole: tuple[str, Path]) -> None:
    """On the test rows, with thresholds and intervals from the validation rows."""
    task, folder = whole
    scores = final(folder)

    assert {name: scores[name] for name, least in SCORES[task].items() if scores[name] < least} == {}


def test_it_resumes_to_the_bit(
    whole: tuple[str, Path], table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after a checkpoint that lies between two evaluations."""
    task, folder = whole
    with monkeypatch.context() as patch:
        kill_after(patch, 7)
        with pytest.raises(Killed):
            training.start(config(table, tmp_path, task))

    tiny.assert_same_end(resumed(only_run(tmp_path)), folder, LAST)


def test_evaluate_and_predict_agree_with_the_run(whole: tuple[str, Path], table: Path) -> None:
    """Scores are those of metrics.jsonl; new rows without targets are predicted as the test rows were."""
    _, folder = whole
    run = TrainedRun(folder, changes={"dataset.path": str(table)})
    scores = run.evaluate("test")
    assert scores == pytest.approx({name: final(folder)[name] for name in scores}, nan_ok=True)

    with (folder / "predictions" / "test.csv").open(newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    with table.open(newline="", encoding="utf-8") as file:
        rows = [{"id": row["id"], "text": row["text"]} for row in csv.DictReader(file) if row["split"] == "test"]
    columns = run.predict(rows)
    assert len(columns) > 2
    for name, values in columns.items():
        told = [row[name] if isinstance(values[0], str) else float(row[name]) for row in written]
        assert told == (list(values) if isinstance(values[0], str) else pytest.approx(list(values), rel=1e-5))


def test_a_row_without_its_text_is_predicted_too(whole: tuple[str, Path]) -> None:
    """A missing modality is no error of any task."""
    columns = TrainedRun(whole[1]).predict([{"text": "cat"}, {"text": ""}])

    assert {len(values) for values in columns.values()} == {2}


def test_the_report_names_what_was_learned(whole: tuple[str, Path]) -> None:
    """A page is made for tasks without classes, and shows each target."""
    html = (whole[1] / "report.html").read_text(encoding="utf-8")

    assert "Confusion" not in html
    for name in {
        "tagging": ["tags"],
        "regression": ["size", "price"],
        "captioning": ["says"],
        "captioning_by_another": ["says"],
        "multi_task": ["kind", "size", "tags"],
    }[whole[0]]:
        assert f"<bdi>{name}</bdi>" in html

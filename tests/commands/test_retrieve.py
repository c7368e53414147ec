"""`mmtrain retrieve`: a run that learned pictures and their sentences without a target, asked in words and by file."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mmtrain import compose, training
from mmtrain.check import faults
from mmtrain.commands import retrieve
from mmtrain.data.builtin.shapes import shapes
from mmtrain.errors import ConfigError
from mmtrain.record import read_rows
from mmtrain.trained import TrainedRun
from tests import tiny
from tests.test_resume import Killed, kill_after, only_run, resumed

TINY = (
    "experiment=cross_modal_retrieval",
    "name=train",
    "encoder/text=bag_of_words",
    "dataset.train_rows=48",
    "dataset.val_rows=8",
    "dataset.test_rows=8",
    "encoder.image.channels=[4,8]",
    "reader.image.size=16",
    "width=16",
    "task.embedding=8",
    "trainer.batch_size=16",
    "trainer.epochs=2",
    "trainer.tensorboard=false",
    "trainer.save_every_steps=2",
    "determinism=strict",
    "num_threads=1",
)


def config(folder: Path) -> dict[str, object]:
    return compose.compose([*TINY, f"output_dir={folder}/outputs"])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training.start(config(tmp_path_factory.mktemp("retrieve")))


def told(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    capsys.readouterr()
    retrieve.run(list(words))
    return capsys.readouterr().out.splitlines()


def test_words_find_pictures(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As many rows as asked for, the most alike first, each with its place."""
    lines = told(capsys, str(run), "query=a red circle and a blue ring", "top=3")
    cosines = [float(line.split()[1]) for line in lines]

    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert cosines == sorted(cosines, reverse=True)
    assert all("`image`" in line for line in lines)


def test_a_picture_finds_the_sentence_that_the_predictions_name(
    run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The file of a test row, asked for anew, has the row's own vector, and so the same nearest sentence."""
    with (run / "predictions" / "test.csv").open(newline="", encoding="utf-8") as file:
        first = next(csv.DictReader(file))
    content = shapes(train_rows=48, val_rows=8, test_rows=8).cell(56, "image")
    assert isinstance(content, bytes)
    (tmp_path / "a.png").write_bytes(content)
    lines = told(capsys, str(run), f"query={tmp_path / 'a.png'}", "modality=image", "to=text", "top=1")

    assert first["id"] == "test-0000"
    assert lines[-1].split()[2] == first["prediction"]


def test_class_names_label_rows(run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    output = tmp_path / "classes.csv"
    told(capsys, str(run), "classes=circle,ring", "template=a red {}", f"output={output}")
    with output.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    assert [row["id"] for row in rows] == [f"test-{number:04d}" for number in range(8)]
    assert {row["prediction"] for row in rows} <= {"circle", "ring"}


def test_labels_that_training_has_not_seen_are_held_against_class_names(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The task reads no target, and the test rows are of classes of their own; the sizes of rows are no class names."""
    lines = ["text,text_2,label,size,split", *["a red car,red car,car,1,train", "a big dog,big dog,dog,2,val"] * 4]
    lines += ["a red dog,red dog,red dog,1,test", "a big car,big car,big car,2,test"]
    (tmp_path / "t.csv").write_text("\n".join(lines), encoding="utf-8")
    words = ["dataset=table", f"dataset.path={tmp_path}/t.csv", "dataset.kinds={text: text, text_2: text}"]
    words += ["modalities=[text,text_2]", "encoder/text=bag_of_words", "encoder/text_2=bag_of_words", "width=16"]
    words += ["dataset.target=[label,size]", "task=retrieval", "fusion=none", "trainer.max_steps=1", "num_threads=1"]
    run = training.start(compose.compose([*words, f"output_dir={tmp_path}/outputs"]))
    capsys.readouterr()
    retrieve.run([str(run), "classes=red dog,big car", "to=text_2", f"output={tmp_path}/c.csv"])

    assert "on 2 rows whose `label` is one of these; chance 0.5" in capsys.readouterr().out
    assert (tmp_path / "c.csv").read_text(encoding="utf-8").startswith("id,label,prediction,cosine")


def test_it_resumes_to_the_bit_and_evaluates_as_it_did(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        kill_after(patch, 3)
        with pytest.raises(Killed):
            training.start(config(tmp_path))
    tiny.assert_same_end(resumed(only_run(tmp_path)), run, 6)

    final = [row for row in read_rows(run) if row["kind"] == "evaluation"][-1]
    scores = TrainedRun(run).evaluate("test")
    assert scores == pytest.approx({name: final[name] for name in scores})


def test_a_row_without_a_picture_has_an_empty_vector(run: Path) -> None:
    columns = TrainedRun(run).predict([{"text": "a red circle"}])

    assert columns["image_vector"] == [""]
    assert columns["prediction"] == [""]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "needs query="),
        (["query=a", "classes=a,b"], "one of them"),
        (["query=a", "top=0"], "`top=0`"),
        (["query=a", "modality=sound"], "`modality=sound`: the run has image, text"),
        (["query= "], "the query is empty"),
        (["classes=red,qqq,zzz"], "'qqq' and 'zzz' are the same to the run"),
        (["query=nowhere.png", "modality=image"], "no such file"),
        (["classes=a,a"], "expected distinct names"),
        (["classes=a,b", "modality=image"], "are words"),
        (["classes=a,b", "template=none"], "expected a text with {}"),
    ],
)
def test_wrong_questions_are_answered_in_a_line(run: Path, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        retrieve.run([str(run), *words])


def test_accuracies_that_are_possible_are_not_held_against_another_score(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The built-in digits have ceilings of accuracy; recall is none."""
    rows = [f"dataset.{split}_rows=72" for split in ("train", "val", "test")]
    words = ["task=retrieval", "fusion=none", "modalities=[text,image]", "encoder/text=bag_of_words", "debug=fast"]
    training.start(compose.compose([*words, *rows, "num_threads=1", f"output_dir={tmp_path}"]))

    assert "best possible accuracy" not in capsys.readouterr().out


def test_a_fusion_that_retrieval_would_not_read_is_refused() -> None:
    (line,) = faults([*TINY, "fusion=concat"])

    assert line.startswith("`fusion`: ")

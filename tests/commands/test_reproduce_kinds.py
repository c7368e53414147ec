"""`mmtrain reproduce` on runs of many kinds: each is trained again from its folder alone, equal to the bit."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
from PIL import Image

from mmtrain.cli import main
from tests.test_resume import Killed, kill_after

pytestmark = pytest.mark.slow

SMALL = (
    *("debug=fast", "trainer.tensorboard=false", "determinism=strict", "num_threads=1"),
    *("dataset.train_rows=72", "dataset.val_rows=72", "dataset.test_rows=72", "output_dir=outputs", "name=run"),
)
TABLE = tuple(word for word in SMALL if not word.startswith("dataset."))
KINDS = {
    "three modalities that attend to each other": ("fusion=attention", "encoder/text=bag_of_words"),
    "modality dropout and heads of each modality": ("technique.modality_dropout=0.3", "technique.unimodal_weight=1"),
    "tags": ("dataset=builtin_keywords", "task=tagging", "fusion=gmu", "encoder/text=bag_of_words"),
    "captions": ("experiment=image_captioning",),
    "boxes": ("experiment=image_detection",),
    "speech": ("experiment=speech_recognition",),
    "video": ("experiment=video_classification",),
    "retrieval": ("experiment=cross_modal_retrieval",),
}


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`main` appends the working directory to the path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


def reproduced(folder: Path | str, capsys: pytest.CaptureFixture[str]) -> str:
    """What `reproduce` says at its end."""
    capsys.readouterr()
    code = main(["reproduce", str(folder)])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out.splitlines()[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_each_kind_is_identical(kind, capsys):
    assert main([*SMALL, *KINDS[kind]]) == 0

    assert reproduced("last", capsys) == "identical"


def test_a_run_on_a_table_with_numbers_to_predict_is_identical(capsys):
    """A text, and a picture that a third of the rows lack."""
    with Path("rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "text", "size", "split"])
        for number in range(48):
            Image.new("L", (12, 12), 5 * number).save(f"{number}.png")
            image = "" if number % 3 == 0 else f"{number}.png"
            writer.writerow([image, f"grey {number}", 0.1 * number, ("train", "train", "val", "test")[number // 12]])
    table = ("dataset=table", "dataset.path=rows.csv", "dataset.target=size", "task=regression", "task.target=size")
    assert main([*TABLE, *table, "fusion=film"]) == 0

    assert reproduced("last", capsys) == "identical"


def test_a_run_that_was_killed_and_resumed_is_identical(monkeypatch, capsys):
    """Killed before its third step of four."""
    with monkeypatch.context() as patch:
        kill_after(patch, 2)
        with pytest.raises(Killed):
            main([*SMALL, "fusion=cross_attention", "trainer.save_every_steps=1"])
    assert main(["resume", "last"]) == 0

    assert reproduced("last", capsys) == "identical"


def test_a_cell_of_a_study_is_identical(capsys):
    """It has no weights to compare; the numbers of its training and its test are equal."""
    words = [word for word in SMALL if not word.startswith("name=")]
    assert main(["study", "fusions", "fusion=sum,late", "modalities=[text,image]", "seeds=2", "jobs=0", *words]) == 0
    (cell, *_) = sorted(Path("outputs/studies/fusions/cells").glob("*/*"))

    assert main(["reproduce", str(cell)]) == 0
    told = capsys.readouterr().out
    assert "weights   not compared: not kept" in told
    assert told.splitlines()[-1] == "identical"


def test_a_job_of_a_multirun_is_identical(capsys):
    assert main(["-m", "fusion=sum,product", "schedule=constant", *SMALL]) == 0
    first, second = sorted(Path("outputs/run").glob("2*"))

    assert [reproduced(folder, capsys) for folder in (first, second)] == ["identical"] * 2

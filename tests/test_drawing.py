"""Boxes for others: COCO's JSON in pixels, a picture with what is sure drawn, a GIF of a video."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmtrain import compose, training
from mmtrain.commands import predict
from mmtrain.data.builtin.motion import motion
from mmtrain.data.builtin.shapes import shapes
from mmtrain.drawing import _draw
from mmtrain.errors import ConfigError
from mmtrain.record import read_rows
from mmtrain.trained import TrainedRun
from tests import tiny
from tests.test_resume import Killed, kill_after, only_run, resumed

TINY = (
    "name=train",
    "dataset.train_rows=16",
    "dataset.val_rows=3",
    "dataset.test_rows=3",
    "width=16",
    "task.hidden_size=8",
    "task.threshold=0.001",
    "trainer.batch_size=4",
    "trainer.epochs=1",
    "trainer.tensorboard=false",
    "trainer.save_every_steps=2",
    "determinism=strict",
    "num_threads=1",
)
RUNS = {
    "image": ("experiment=image_detection", "encoder.image.channels=[4,8]", "encoder.image.hidden_size=8"),
    "video": (
        "experiment=video_detection",
        "encoder.video.frame.channels=[4,8]",
        "encoder.video.frame.hidden_size=8",
        "encoder.video.num_layers=1",
    ),
}


def config(kind: str, folder: Path) -> dict[str, object]:
    return compose.compose([*RUNS[kind], *TINY, f"output_dir={folder}/outputs"])


@pytest.fixture(scope="module", params=RUNS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return request.param, training.start(config(request.param, tmp_path_factory.mktemp("boxes")))


def test_a_detector_resumes_to_the_bit_and_evaluates_as_it_did(
    run: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, folder = run
    with monkeypatch.context() as patch:
        kill_after(patch, 3)
        with pytest.raises(Killed):
            training.start(config(kind, tmp_path))
    tiny.assert_same_end(resumed(only_run(tmp_path)), folder, 4)

    final = [row for row in read_rows(folder) if row["kind"] == "evaluation"][-1]
    scores = TrainedRun(folder).evaluate("test")
    assert scores == pytest.approx({n: float("nan") if final[n] is None else final[n] for n in scores}, nan_ok=True)


def test_predict_writes_what_it_said_of_the_test_rows(run: tuple[str, Path], tmp_path: Path) -> None:
    """A table of the same media and a row without; JSON agrees with the column, and the first row is drawn."""
    kind, folder = run
    make = shapes if kind == "image" else lambda **rows: motion(target="boxes", **rows)
    source = make(train_rows=16, val_rows=3, test_rows=3)
    suffix = "png" if kind == "image" else "gif"
    for at, row in enumerate(source.splits["test"]):
        (tmp_path / f"{at}.{suffix}").write_bytes(source.cell(row, kind))  # type: ignore[arg-type]
    (tmp_path / "new.csv").write_text(f"id,{kind}\n" + "".join(f"r{at},{at}.{suffix}\n" for at in range(3)) + "r3,\n")
    predict.run([str(folder), f"input={tmp_path / 'new.csv'}", f"output={tmp_path / 'said.csv'}", "pictures=1"])

    with (tmp_path / "said.csv").open(newline="", encoding="utf-8") as file:
        said = [row["prediction"] for row in csv.DictReader(file)]
    with (folder / "predictions" / "test.csv").open(newline="", encoding="utf-8") as file:
        assert said[:3] == [row["prediction"] for row in csv.DictReader(file)]
    counts = [len(json.loads(cell)) if kind == "image" else sum(map(len, json.loads(cell))) for cell in said]
    assert counts[3] == 0
    content = json.loads((tmp_path / "said_boxes" / "coco.json").read_text(encoding="utf-8"))
    assert len(content["annotations"]) == sum(counts) > 0
    assert len(content["images"]) == (4 if kind == "image" else 32)
    (drawn,) = (path for path in (tmp_path / "said_boxes").iterdir() if path.suffix != ".json")
    with Image.open(drawn) as image:
        assert (drawn.stem, image.size) == ("0000_r0", (320, 320) if kind == "image" else (336, 336))
        assert getattr(image, "n_frames", 1) == (1 if kind == "image" else 8)


def test_a_row_that_lacks_the_picture_has_no_boxes(run: tuple[str, Path]) -> None:
    """None of the rows has it: no box, and no error."""
    kind, folder = run

    assert TrainedRun(folder).predict([{kind: ""}])["boxes"] == [0.0]


def test_a_number_of_pictures_is_one(run: tuple[str, Path]) -> None:
    with pytest.raises(ConfigError, match="`pictures=all`"):
        predict.run([str(run[1]), "input=new.csv", "pictures=all"])


def test_sure_boxes_are_drawn_in_the_colour_of_their_class(tmp_path: Path) -> None:
    boxes = torch.tensor([[0.0, 0.25, 0.25, 0.75, 0.75, 0.9, 0], [1.0, 0, 0, 1, 1, 0.2, 0]])
    _draw(tmp_path / "a", torch.zeros(1, 40, 40, dtype=torch.uint8), boxes, ("cat", "dog"))
    picture = np.asarray(Image.open(tmp_path / "a.png"))

    assert picture.shape == (320, 320, 3)
    assert picture[240, 160].tolist() == [0xE6, 0x19, 0x4B], "the lower edge of the cat"
    assert picture[0, 160].tolist() == [0, 0, 0], "the dog is not sure enough"

"""Boxes for others: COCO's JSON in pixels, a picture with what is sure drawn, an MP4 of a video."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from mmtrain import compose, drawing, training
from mmtrain.commands import predict
from mmtrain.data.builtin.motion import motion
from mmtrain.data.builtin.shapes import shapes
from mmtrain.drawing import _drawn
from mmtrain.errors import ConfigError, DataError
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
    assert drawn.name == ("0000_r0.png" if kind == "image" else "0000_r0.mp4")
    if kind == "image":
        with Image.open(drawn) as image:
            assert image.size == (320, 320)
    else:
        frames, rate = read_back(drawn)
        assert [frame.shape for frame in frames] == [(336, 336, 3)] * 8
        assert rate == 10, "those of the GIF last .1 s"


def test_boxes_of_one_of_several_tasks_are_written_by_its_name(tmp_path: Path) -> None:
    inside = [option.replace("task.", "task.tasks.where.") for option in TINY]
    folder = training.start(
        compose.compose(
            [
                *inside,
                "dataset=builtin_shapes",
                "modalities=[image]",
                "encoder/image=pyramid",
                "encoder.image.channels=[4,8]",
                "encoder.image.hidden_size=8",
                "fusion=none",
                "task=multi_task",
                "+task@task.tasks.where=detection",
                f"output_dir={tmp_path}/outputs",
            ]
        )
    )
    picture = shapes(train_rows=1, val_rows=1, test_rows=1)
    (tmp_path / "0.png").write_bytes(picture.cell(picture.splits["test"][0], "image"))  # type: ignore[arg-type]
    (tmp_path / "new.csv").write_text("image\n0.png\n")

    predict.run([str(folder), f"input={tmp_path / 'new.csv'}", f"output={tmp_path / 'said.csv'}"])

    with (tmp_path / "said.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    content = json.loads((tmp_path / "said_where_boxes" / "coco.json").read_text(encoding="utf-8"))
    assert len(content["annotations"]) == len(json.loads(row["where_prediction"])) > 0
    assert (tmp_path / "said_where_boxes" / "0000_1.png").is_file()


def read_back(path: Path) -> tuple[list[np.ndarray], float]:
    """The frames [H,W,3] of a video, and how many a second."""
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        rate = container.streams.video[0].average_rate
    assert rate is not None
    return frames, float(rate)


def test_a_row_that_lacks_the_picture_has_no_boxes(run: tuple[str, Path]) -> None:
    """None of the rows has it: no box, and no error."""
    kind, folder = run

    assert TrainedRun(folder).predict([{kind: ""}])["boxes"] == [0.0]


def test_a_number_of_pictures_is_one(run: tuple[str, Path]) -> None:
    with pytest.raises(ConfigError, match="`pictures=all`"):
        predict.run([str(run[1]), "input=new.csv", "pictures=all"])


def test_videos_are_not_drawn_without_pyav(run: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before the model is asked; `pictures=0` and pictures go on, to the table that is not there."""
    kind, folder = run
    monkeypatch.setitem(sys.modules, "av", None)
    refused, message = (
        (ConfigError, r"pip install 'mmtrain\[video\]'.* pictures=0") if kind == "video" else (DataError, r"none\.csv")
    )
    with pytest.raises(refused, match=message):
        predict.run([str(folder), "input=none.csv"])
    with pytest.raises(DataError, match=r"none\.csv"):
        predict.run([str(folder), "input=none.csv", "pictures=0"])


def test_sure_boxes_are_drawn_in_the_colour_of_their_class() -> None:
    boxes = torch.tensor([[0.0, 0.25, 0.25, 0.75, 0.75, 0.9, 0], [1.0, 0, 0, 1, 1, 0.2, 0]])
    picture = np.asarray(_drawn(torch.zeros(1, 40, 40, dtype=torch.uint8), boxes, 0, ("cat", "dog")))

    assert picture.shape == (320, 320, 3)
    assert picture[240, 160].tolist() == [0xE6, 0x19, 0x4B], "the lower edge of the cat"
    assert picture[0, 160].tolist() == [0, 0, 0], "the dog is not sure enough"


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_video_keeps_its_frames_their_order_and_its_speed(
    codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three greys, 33x24: an odd side gets a black line, and 29.97 frames a second stay that."""
    monkeypatch.setattr(drawing, "_CODECS", (codec,))
    greys = [Image.new("RGB", (33, 24), (grey,) * 3) for grey in (40, 120, 200)]
    drawing._write_video(tmp_path / "a.mp4", greys, 30_000 / 1001)
    frames, rate = read_back(tmp_path / "a.mp4")

    assert [frame.shape for frame in frames] == [(24, 34, 3)] * 3
    assert [round(float(frame[:, :30].mean())) for frame in frames] == pytest.approx([40, 120, 200], abs=3)
    assert rate == pytest.approx(29.97, abs=0.01)

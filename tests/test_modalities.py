"""Videos, tables and stored features, absent in some rows, can be trained on, measured, resumed and predicted from."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmtrain.api import load
from mmtrain.cli import main
from mmtrain.compose import without_initial_weights
from mmtrain.record import read_rows
from tests.videos import encoded, gif

ROWS = 20


def write_video(row: int, label: str) -> str:
    """Bright or dark clips, every third one an animation."""
    greys = [200 + row, 210 + row] if label == "x" else [row, 10 + row]
    name = f"{row}.gif" if row % 3 == 0 else f"{row}.mp4"
    Path(name).write_bytes(gif(greys) if row % 3 == 0 else encoded(greys=greys))
    return name


def write_features(row: int, label: str) -> str:
    """1 to 4 steps of three numbers."""
    np.save(f"{row}.npy", np.full((1 + row % 4, 3), 1.0 if label == "x" else -1.0) + row / 100)
    return f"{row}.npy"


def write_tabular(row: int, label: str) -> str:
    return str(row if label == "x" else -row)


CASES = {
    "video": (
        write_video,
        [
            *("reader.video.size=8", "reader.video.num_frames=3", "encoder/video=frames_gru"),
            *("encoder.video.frame.channels=[4,8]", "encoder.video.time.hidden_size=8"),
        ],
    ),
    "features": (write_features, ["encoder/features=transformer"]),
    "tabular": (write_tabular, ["encoder/tabular=ft_transformer", "dataset.kinds={text: text, tabular: tabular}"]),
}


def write_table(kind: str, write: Callable[[int, str], str]) -> None:
    """20 rows, of which every fifth lacks the modality."""
    with Path("t.csv").open("w", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["text", kind, "label", "split"])
        for row in range(ROWS):
            label = "xy"[row % 2]
            split = "train" if row < 12 else "val" if row < 16 else "test"
            table.writerow([f"word{row % 3}", write(row, label) if row % 5 else "", label, split])


def arguments(kind: str) -> list[str]:
    """A short run on the table."""
    line = ["debug=fast", "dataset=table", "dataset.path=t.csv", "encoder/text=bag_of_words", "schedule=constant"]
    line += ["trainer.batch_size=6", "trainer.epochs=9", "trainer.tensorboard=false", "num_threads=1", "width=16"]
    return [*line, *CASES[kind][1]]


@pytest.mark.parametrize("kind", CASES)
def test_a_modality_goes_the_whole_way(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Trained for four steps, measured, made two steps longer, and asked about rows with and without the column."""
    monkeypatch.chdir(tmp_path)
    write_table(kind, CASES[kind][0])

    assert main(arguments(kind)) == 0, capsys.readouterr().err
    assert main(["evaluate", "last"]) == 0, capsys.readouterr().err
    assert main(["resume", "last", "trainer.max_steps=6"]) == 0, capsys.readouterr().err

    run = tmp_path / "outputs" / Path("outputs/last.txt").read_text(encoding="utf-8").strip()
    spec = json.loads((run / "spec.json").read_text(encoding="utf-8"))["signals"][kind]
    assert spec["kind"] == kind
    assert [row["step"] for row in read_rows(run) if row["kind"] == "train"] == [1, 2, 3, 4, 5, 6]

    Path("new.csv").write_text("text\nword1\nword2\n", encoding="utf-8")
    assert main(["predict", "last", "input=new.csv"]) == 0, capsys.readouterr().err
    with Path("t.csv").open(encoding="utf-8") as file:
        whole = [{"text": row["text"], kind: row[kind]} for row in csv.DictReader(file)][:3]
    model = load(run)
    without, blank = model.predict([{"text": "word1"}]), model.predict([{"text": "word1", kind: ""}])
    assert len(model.predict(whole)["prediction"]) == 3
    assert without == blank


def pickled() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "file", "content", "said"),
    [
        ("video", "1.mp4", encoded()[:-9], "t.csv:3 (1.mp4): truncated video: it promises"),
        ("video", "1.mp4", b"#EXTM3U\nhttp://localhost/1.ts\n", "t.csv:3 (1.mp4): no MP4, MOV, Matroska"),
        ("features", "2.npy", pickled(), "t.csv:4 (2.npy): the array holds object, not numbers"),
        ("features", "2.npy", b"\x93NUMPY", "t.csv:4 (2.npy): damaged .npy header"),
        ("tabular", "t.csv", None, "t.csv:15: column 1 of `tabular` is 'many', where training had numbers"),
    ],
)
def test_a_broken_cell_ends_the_run_with_its_row(
    kind: str,
    file: str,
    content: bytes | None,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """One line, and the exit code of bad data."""
    monkeypatch.chdir(tmp_path)
    write_table(kind, CASES[kind][0])
    Path(file).write_bytes(content or Path(file).read_bytes().replace(b",-13,", b",many,"))

    code = main(arguments(kind))

    err = capsys.readouterr().err
    assert code == 3
    assert said in err
    assert len(err.splitlines()) == 1


def test_weights_to_start_from_are_not_asked_for_again():
    """Those of an encoder inside another one neither: a checkpoint holds them all."""
    frame = {"_target_": "x.Y", "weights": "gone.pth", "stem": "small"}
    config = {
        "encoder": {"video": {"frame": frame, "time": None}, "text": {"vectors": "gone.txt"}},
        "task": {"weights": 2},
    }

    assert without_initial_weights(config) == {
        "encoder": {"video": {"frame": {**frame, "weights": None}, "time": None}, "text": {"vectors": None}},
        "task": {"weights": 2},  # of its losses
    }

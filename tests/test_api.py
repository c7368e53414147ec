"""`import mmtrain`: what Python users get is what the command line does, and leaves nothing behind."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from PIL import Image
from torch import nn

import mmtrain
from mmtrain import cli
from mmtrain.errors import ConfigError, DataError
from mmtrain.record import read_rows
from tests.tiny import TINY, assert_same_end

ROWS: list[dict[str, str | None]] = [
    {"id": "all", "text": "look at the picture", "image": "six.png", "audio": "beep.wav"},
    {"id": "deaf", "text": "look at the picture", "image": "six.png", "audio": None},
    {"id": "text only", "text": "listen"},
    {"id": "nothing but a sound", "text": "", "audio": "beep.wav"},
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a picture and a sound."""
    folder = tmp_path_factory.mktemp("api")
    picture = Image.new("L", (8, 8))
    picture.putdata([4 * number for number in range(64)])
    picture.save(folder / "six.png")
    with wave.open(str(folder / "beep.wav"), "wb") as sound:
        sound.setparams((1, 2, 4000, 0, "NONE", "not compressed"))
        sound.writeframes(bytes(range(200)) * 10)
    return folder


@pytest.fixture(scope="module")
def run(place, tmp_path_factory):
    """A tiny training by way of Python."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.getbasetemp() / "state"))
        return mmtrain.train([*TINY, f"output_dir={place}/outputs"])


def test_importing_the_package_is_light():
    """A script that only asks for the version, or a completion, does not wait for torch."""
    code = "import sys, mmtrain; print(sorted({'torch', 'hydra', 'omegaconf', 'numpy'} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])

    assert done.stdout == "[]\n", done.stderr


def test_two_trainings_in_one_process_are_equal_and_leave_no_state_of_hydra(run, place):
    """The second starts as if it were the first: same weights, optimizer and numbers."""
    second = mmtrain.train([*TINY, f"output_dir={place}/outputs"])

    assert second.folder != run.folder
    assert_same_end(run.folder, second.folder, 8)
    assert not GlobalHydra.instance().is_initialized()


def test_a_run_knows_its_final_scores(run):
    """Those of the test split, as metrics.jsonl holds them, and as evaluating again gives them."""
    last = [row for row in read_rows(run.folder) if row["kind"] == "evaluation"][-1]

    assert last["split"] == "test"
    assert run.metrics() == {name: last[name] for name in run.metrics()}
    assert run.evaluate("test")["accuracy"] == run.metrics()["accuracy"]


def test_the_model_is_an_ordinary_module_ready_to_predict(run):
    assert isinstance(run.model, nn.Module)
    assert not run.model.training


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_predicting_in_python_equals_the_file_of_mmtrain_predict(run, place, suffix, capsys):
    """The same rows by way of a table: equal to the last digit, whichever modalities a row lacks."""
    table, output = place / "new.jsonl", place / f"predictions{suffix}"
    table.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")

    assert cli.main(["predict", str(run.folder), f"input={table}", f"output={output}"]) == 0
    told = run.predict(ROWS, data_root=place)

    assert list(told["id"]) == [row["id"] for row in ROWS]
    with output.open(encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file)) if suffix == ".csv" else [json.loads(line) for line in file]
    ours = [dict(zip(told, values, strict=True)) for values in zip(*told.values(), strict=True)]
    assert written == ([{k: str(v) for k, v in row.items()} for row in ours] if suffix == ".csv" else ours)


def test_rows_without_ids_are_numbered(run):
    assert list(run.predict([{"text": "listen"}, {"text": "look"}])["id"]) == ["1", "2"]


def test_a_fault_in_a_given_row_is_told_with_its_number(run, place):
    rows = [{"text": "look", "image": "six.png"}, {"text": "look", "image": "seven.png"}]

    with pytest.raises(DataError, match=r"row 2: no file 'seven\.png'"):
        run.predict(rows, data_root=place)


def test_all_faults_of_a_training_are_told_at_once(tmp_path):
    """As `mmtrain` itself does, and before anything is written."""
    with pytest.raises(ConfigError, match=r"(?s)`attention`.*`optimizer\.lr`"):
        mmtrain.train(["fusion=atention", "optimizer.lrr=1", f"output_dir={tmp_path}/outputs"])

    assert list(tmp_path.iterdir()) == []


def test_a_run_is_opened_by_its_folder(run, place):
    """Another object on the same folder predicts the same; a folder that is no run is refused."""
    assert mmtrain.load(str(run.folder)).predict(ROWS, data_root=place) == run.predict(ROWS, data_root=place)
    with pytest.raises(ConfigError, match=r"is not a run folder"):
        mmtrain.load(place)

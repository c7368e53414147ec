"""`mmtrain reproduce`: a run trained again from its folder is equal to the bit, or what differs is named."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from mmtrain import compose, contents, training
from mmtrain.cli import main
from mmtrain.data.builtin.three import BuiltinSource
from mmtrain.reproduction import compare
from tests import tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run."""
    return tiny.train(tmp_path_factory.mktemp("reproduce"))


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """The same run again, free to be changed."""
    return Path(shutil.copytree(run, tmp_path / "copy"))


def edit_json(path: Path, **values: object) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, **values}), encoding="utf-8")


def told(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return captured.out.splitlines()[-1] if not captured.err else captured.err.splitlines()[-1]


def test_a_run_is_reproduced_from_its_folder_to_the_bit(run, tmp_path, monkeypatch, capsys):
    """Nothing but the folder is read; the second run lies in a folder of its own, and the first is as it was."""
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    monkeypatch.chdir(tmp_path)

    code = main(["reproduce", str(run)])

    (other,) = (tmp_path / "outputs" / "train").glob("2*")
    assert (code, told(capsys)) == (0, "identical")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    tiny.assert_same_end(run, other, 8)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"packages": {"torch": "9.9.9"}}, "versions: package torch: "),
        ({"num_threads": 7}, "machine: num_threads: 7 then, 1 now"),
    ],
)
def test_another_version_or_thread_count_is_named(run, copy, capsys, changed, expected):
    known = json.loads((copy / "environment.json").read_text(encoding="utf-8"))
    if "packages" in changed:
        changed = {"packages": {**known["packages"], **changed["packages"]}}
    edit_json(copy / "environment.json", **changed)

    code = main(["reproduce", str(copy), f"against={run}"])

    assert code == 0
    assert told(capsys).startswith(f"identical, although {expected}")


def test_a_seed_that_was_changed_in_the_folder_is_named(run, copy, tmp_path, monkeypatch, capsys):
    """The checkpoint remembers the config it was trained with; the verdict and the exit code tell of the result."""
    path = copy / "config.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("\nseed: 0\n", "\nseed: 5\n"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    code = main(["reproduce", str(copy)])

    assert (code, told(capsys)) == (9, "error: different: config: seed: 0 then, 5 now")


def test_a_row_that_moved_to_another_split_is_named(run, copy):
    lines = (copy / "splits.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    lines[3] = lines[3].replace('"split": "train"', '"split": "val"')
    (copy / "splits.jsonl").write_text("".join(lines), encoding="utf-8")

    found = compare(run, copy, tolerance=0.0)

    assert [tuple(difference) for difference in found.differences] == [
        ("splits", "1 row moved: train-0003 (train then, val now)")
    ]


def test_the_first_step_that_differs_is_named_and_a_small_difference_tolerated(run, copy):
    """A loss that is .001 greater at step 3 is within .01, and not within .0001."""
    rows = [json.loads(line) for line in (copy / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    row = next(row for row in rows if row["kind"] == "train" and row["step"] == 3)
    row["loss"] += 0.001
    (copy / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    (difference,) = compare(run, copy, tolerance=0.01).differences
    assert difference.part == "training"
    assert difference.text.startswith("first at step 3 (train): loss: ")
    assert compare(run, copy, tolerance=0.01).verdict == "within tolerance"
    assert compare(run, copy, tolerance=0.0001).verdict == "different"


def test_a_media_file_that_changed_is_named(tmp_path, monkeypatch, capsys):
    """One pixel of one picture, in a file of the same size."""
    with (tmp_path / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label", "split"])
        for number in range(12):
            colour = 250 if number % 2 else 5
            Image.new("L", (8, 8), colour).save(tmp_path / f"{number}.bmp")
            writer.writerow([f"{number}.bmp", "light" if number % 2 else "dark", ("train", "val", "test")[number // 4]])
    typed = (
        *("dataset=table", f"dataset.path={tmp_path}/rows.csv", "encoder.image.channels=[4]", "width=8"),
        *("trainer.batch_size=4", "trainer.epochs=1", "trainer.tensorboard=false", "num_threads=1"),
        *("determinism=strict", f"output_dir={tmp_path}/outputs"),
    )
    run = training.start(compose.compose(typed), typed)
    picture = Image.new("L", (8, 8), 5)
    picture.putpixel((3, 3), 200)
    picture.save(tmp_path / "2.bmp")
    monkeypatch.chdir(tmp_path)

    code = main(["reproduce", str(run)])

    assert code == 0
    changed = f"1 cell changed: `image` of row 3, {tmp_path}/rows.csv:4 (2.bmp)"
    assert told(capsys) == f"within tolerance: data: {changed}"


def test_media_beyond_the_limit_are_not_read(monkeypatch):
    """Three pictures fit into the first bytes; of the further ones nothing is noted, of their texts it is."""
    source = BuiltinSource(variant="text_image", train_rows=20, val_rows=20, test_rows=20)
    monkeypatch.setattr(contents, "MOST_BYTES", sum(len(source.cell(row, "image")) for row in range(3)))

    noted = [row.cells for _, row in contents.noted(source)]

    assert [row["image"] != "" for row in noted] == [True] * 3 + [False] * 57
    assert all(len(row["text"]) == 8 for row in noted)


def test_only_a_run_that_has_ended_is_reproduced(copy, capsys):
    lines = (copy / "metrics.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (copy / "metrics.jsonl").write_text("".join(lines[:-1]), encoding="utf-8")

    assert main(["reproduce", str(copy)]) == 2
    assert told(capsys) == (
        f"error: {copy} has not ended, so there is nothing to compare; first: mmtrain resume {copy}"
    )


def test_a_run_made_by_a_newer_mmtrain_names_what_is_not_known_here_and_its_version(copy, capsys):
    with (copy / "config.yaml").open("a", encoding="utf-8") as file:
        file.write("nova: 3\n")
    known = json.loads((copy / "environment.json").read_text(encoding="utf-8"))
    edit_json(copy / "environment.json", packages={**known["packages"], "mmtrain": "9.1.0"})

    assert main(["reproduce", str(copy)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert told[0] == f"error: {copy / 'config.yaml'}: `nova`: no such key."
    assert told[1].startswith("error: The run was made with mmtrain 9.1.0, this is ")

"""The script that holds a run against simple methods: what they find, and whose rows and scores are compared."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mmtrain
from mmtrain import compose, training
from mmtrain.record import read_rows
from tests.test_every_task import TINY

sys.path.append(str(Path(__file__).parents[1] / "scripts"))

import simple_answers


def test_half_the_pixels_of_a_colour_are_half_of_its_square() -> None:
    picture = Image.new("RGB", (4, 4), "white")
    picture.paste((255, 0, 0), (0, 0, 2, 4))
    found = simple_answers.colours(picture)

    assert found.sum() == pytest.approx(2 * 0.5**0.5)
    assert sorted(np.flatnonzero(found)) == [48, 63]  # red is 3 of 0..3 times 16, white 3 of all three


def test_the_nearest_row_is_found() -> None:
    assert simple_answers.nearest(np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[0.9, 0.7], [0.1, 0.0]])) == [1, 0]


def test_the_commonest_class_of_training_is_a_simple_answer(tmp_path: Path) -> None:
    """Two of three training rows are `a`, and so is one of two test rows: half of them are answered."""
    rows = [
        f"thing,{label},{split}"
        for split, labels in {"train": "aab", "val": "b", "test": "ab"}.items()
        for label in labels
    ]
    (tmp_path / "t.csv").write_text("\n".join(["text,label,split", *rows]), encoding="utf-8")
    folder = training.start(
        compose.compose(
            [*TINY, f"dataset.path={tmp_path}/t.csv", "trainer.max_steps=1", f"output_dir={tmp_path}/outputs"]
        )
    )
    run = mmtrain.load(folder)
    results, _ = run.results(run.source(), "test")

    found = results._replace(outputs=simple_answers.answers(run, run.source(), results))

    assert found.tensor.exp().tolist() == [[2.0, 1.0], [2.0, 1.0]]
    assert simple_answers.score(run, found, range(2)) == 0.5


def test_a_run_is_held_against_the_words_of_its_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A word each says the tag, which logistic regression sees; the scores of the run are those it had."""
    rows = [
        f"{('small', 'huge')[n % 2]} thing,{('little', 'big')[n % 2]},{('train', 'val', 'test')[n % 3]}"
        for n in range(24)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["text,tags,split", *rows]), encoding="utf-8")
    chosen = ["task=tagging", "dataset.target=tags", f"dataset.path={tmp_path}/t.csv", "trainer.max_steps=1"]
    runs = [
        training.start(compose.compose([*TINY, *chosen, f"seed={seed}", f"output_dir={tmp_path}/outputs"]))
        for seed in (0, 1)
    ]
    capsys.readouterr()

    assert simple_answers.main([str(run) for run in runs]) == 0

    told = capsys.readouterr().out.splitlines()
    final = [[row for row in read_rows(run) if row["kind"] == "evaluation"][-1] for run in runs]
    scores = [f"mean_average_precision {row['mean_average_precision']:.4f}" for row in final]
    assert [line.split("run     ")[1] for line in told[0::2][:2]] == scores
    assert all(line.endswith("mean_average_precision 1.0000") for line in told[1:4:2])
    assert told[4].startswith("difference ")

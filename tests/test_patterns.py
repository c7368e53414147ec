"""Scores by the modalities that rows have: exact parts of the whole, told at the end of a run and by evaluate."""

from __future__ import annotations

import contextlib
import csv
import math
from pathlib import Path

import pytest
import torch

from mmtrain.cli import main
from mmtrain.contracts import DataSpec, Results
from mmtrain.data.tables.table import TableSource
from mmtrain.patterns import by_pattern
from mmtrain.record import read_rows
from mmtrain.target import Target, TargetSpec
from mmtrain.tasks.classification import Classification

SPEC = DataSpec({}, {"label": TargetSpec("label", "class", ("cat", "dog"), (3, 3))})


def results(truth: list[int], predicted: list[int], mask: list[bool] | None = None) -> Results:
    """Rows with the ids 1, 2, ... as a table numbers them."""
    outputs = torch.nn.functional.one_hot(torch.tensor(predicted), 2).float()
    target = Target(torch.tensor(truth), torch.tensor(mask or [True] * len(truth)))
    return Results([str(number + 1) for number in range(len(truth))], outputs, {"label": target}, 0.0)


def source(*texts: str) -> TableSource:
    """Rows of two texts, written `a/b`; a blank one is absent."""
    rows = [dict(zip(("text", "text_2"), text.split("/"), strict=True)) for text in texts]
    return TableSource.for_prediction(rows, kinds={"text": "text", "text_2": "text"})


def test_each_pattern_is_scored_over_its_own_rows() -> None:
    """Three rows with both, two of them right; one right row with the first, one wrong row with the second alone."""
    rows = source("a/b", "a/b", "a/", "a/b", "/b")
    found = by_pattern(Classification(SPEC), results([0, 1, 0, 1, 1], [0, 1, 0, 0, 0]), rows, ["text", "text_2"])

    assert [(one.name, one.rows, one.metrics["accuracy"]) for one in found] == [
        ("text+text_2", 3, pytest.approx(2 / 3)),
        ("text", 1, 1.0),
        ("text_2", 1, 0.0),
    ]
    assert found[0].metrics["accuracy_se"] == pytest.approx(math.sqrt(2 / 9 / 3))


def test_rows_that_all_have_the_same_are_one_pattern_and_not_told() -> None:
    """Of a modality that the model does not have, nothing counts."""
    rows = source("a/b", "a/")
    assert by_pattern(Classification(SPEC), results([0, 1], [0, 1]), rows, ["text"]) == []


def test_a_pattern_without_a_target_has_no_score() -> None:
    rows = source("a/b", "a/")
    found = by_pattern(Classification(SPEC), results([0, 1], [0, 1], [True, False]), rows, ["text", "text_2"])
    assert found[0].metrics["accuracy"] == 1
    assert math.isnan(found[1].metrics["accuracy"])


@pytest.mark.parametrize("emptied", ["text", "text_2"])
def test_a_run_on_a_column_half_of_whose_cells_are_blank_ends_with_the_score_of_each_pattern(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], emptied: str
) -> None:
    """In metrics.jsonl, on the page and in what is printed; evaluate says the same."""
    with contextlib.chdir(tmp_path):
        with Path("t.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, ["text", "text_2", "label", "split"])
            table.writeheader()
            for row in range(24):
                cells = {"text": f"one {row % 2}", "text_2": f"two {row % 2}"} | ({emptied: ""} if row < 12 else {})
                table.writerow({**cells, "label": "ab"[row % 2], "split": ("train", "val", "test")[row % 3]})
        line = ["dataset=table", "dataset.path=t.csv", "encoder/text=bag_of_words", "width=8", "trainer.epochs=1"]
        assert main([*line, "trainer.batch_size=4", "trainer.tensorboard=false", "num_threads=1"]) == 0
        trained = capsys.readouterr().out
        assert main(["evaluate", "last"]) == 0
        evaluated = capsys.readouterr().out

        run = Path("outputs") / Path("outputs/last.txt").read_text(encoding="utf-8").strip()
        rows = read_rows(run)
        page = (run / "report.html").read_text(encoding="utf-8")

    found = {"+".join(row["present"]): row for row in rows if row["kind"] == "pattern"}
    other = {"text": "text_2", "text_2": "text"}[emptied]
    assert {name: row["rows"] for name, row in found.items()} == {"text+text_2": 4, other: 4}
    whole = next(row for row in rows if row.get("split") == "test" and row["kind"] == "evaluation")
    assert sum(row["accuracy"] for row in found.values()) / 2 == pytest.approx(whole["accuracy"])
    for told in (trained, evaluated):
        table = told.split("accuracy on test by what a row has\n")[1]
        assert f"{other} " in table
    assert "By what a row has" in page

"""`mmtrain report`: the page of a run made anew, and two runs compared."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from mmtrain.cli import main
from mmtrain.comparison import compare
from tests import tiny


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The tiny run, and one with another fusion and seed."""
    folder = tmp_path_factory.mktemp("report")
    return tiny.train(folder / "a"), tiny.train(folder / "b", "fusion=sum", "seed=1")


def written(folder: Path, rows: list[tuple[str, str, str]], *, config: str = "seed: 0\n", **metrics: float) -> Path:
    """A run folder with predictions: id, label and prediction of each row."""
    (folder / "predictions").mkdir(parents=True)
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    lines = ["id,label,prediction", *(",".join(row) for row in rows)]
    (folder / "predictions" / "test.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    final = {"kind": "evaluation", "split": "test", "step": 4, "checkpoint": 4, "rows": len(rows), **metrics}
    kept = [json.dumps(final), json.dumps({"kind": "end", "step": 4, "best_step": 4})]
    (folder / "metrics.jsonl").write_text("\n".join(kept) + "\n", encoding="utf-8")
    return folder


def test_the_page_is_made_anew_from_the_folder(runs):
    """It is the same page, to the letter."""
    page = runs[0] / "report.html"
    before = page.read_bytes()
    page.unlink()

    assert main(["report", str(runs[0])]) == 0
    assert page.read_bytes() == before


def test_two_runs_are_compared_in_config_and_scores(runs, capsys):
    assert main(["report", str(runs[0]), str(runs[1])]) == 0
    told = capsys.readouterr().out
    html = (runs[1] / "compared.html").read_text(encoding="utf-8")

    assert re.search(r"^seed +0 +1$", told, re.MULTILINE)
    assert re.search(r"^accuracy .* paired bootstrap over 72 rows$", told, re.MULTILINE)
    assert "fusion._target_" in html
    assert "output_dir" not in html


def test_the_interval_is_that_of_the_paired_differences(tmp_path):
    """b is right where a is in 70 of 100 rows, and in 10 more: +.1, with a standard deviation of .3 a row."""
    truth = [(str(n), "x") for n in range(100)]
    a = written(tmp_path / "a", [(*row, "x" if n < 70 else "y") for n, row in enumerate(truth)], accuracy=0.7)
    b = written(tmp_path / "b", [(*row, "x" if n < 80 else "y") for n, row in enumerate(truth)], accuracy=0.8)

    (line,) = compare(a, b).lines

    error = 0.3 / np.sqrt(100)
    assert line.how == "paired bootstrap over 100 rows"
    assert line.low == pytest.approx(0.1 - 1.96 * error, abs=0.012)
    assert line.high == pytest.approx(0.1 + 1.96 * error, abs=0.012)


def test_runs_without_common_rows_are_not_paired_and_it_is_said(tmp_path):
    """Errors of .03 and .04 add up to .05."""
    a = written(tmp_path / "a", [("1", "x", "x"), ("2", "x", "y")], accuracy=0.5, accuracy_se=0.03)
    b = written(tmp_path / "b", [("3", "x", "x"), ("4", "x", "x")], accuracy=1.0, accuracy_se=0.04)

    made = compare(a, b)

    assert made.notes == ["0 rows of test are in both runs, of 2 and 2."]
    assert made.lines[0].how == "not paired: from the errors of both"
    assert made.lines[0].low == pytest.approx(0.5 - 1.96 * 0.05, abs=1e-4)


def test_absolute_errors_are_paired_and_other_metrics_have_no_interval(tmp_path):
    """Every prediction of b is 1 closer: the interval is a point."""
    a = written(tmp_path / "a", [(str(n), "0.0", "3.0") for n in range(9)], mae=3.0, r2=0.1)
    b = written(tmp_path / "b", [(str(n), "0.0", "2.0") for n in range(9)], mae=2.0, r2=0.2)

    mae, r2 = compare(a, b).lines

    assert (mae.low, mae.high) == (pytest.approx(-1.0), pytest.approx(-1.0))
    assert (r2.low, r2.how) == (None, "")


def test_a_run_that_has_not_ended_is_not_compared(tmp_path, capsys):
    a = written(tmp_path / "a", [("1", "x", "x")], accuracy=1.0)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "config.yaml").write_text("seed: 0\n", encoding="utf-8")

    assert main(["report", str(a), str(tmp_path / "b")]) == 2
    assert f"{tmp_path}/b has not ended" in capsys.readouterr().err

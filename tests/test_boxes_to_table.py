"""The script that makes a table of boxes: what it writes, and what it says where it cannot."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "scripts"))

import boxes_to_table


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """A picture of 100x50 pixels with a cat, and a dog that reaches beyond it."""
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 100, "height": 50}],
        "categories": [{"id": 7, "name": "cat"}, {"id": 8, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [10, 10, 40, 30]},
            {"id": 2, "image_id": 1, "category_id": 8, "bbox": [75, 0, 50, 50]},
        ],
    }
    (tmp_path / "a.png").write_bytes(b"")
    file = tmp_path / "coco.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("choice", "boxes"),
    [
        ("skip", [["cat", 0.1, 0.2, 0.5, 0.8]]),
        ("clip", [["cat", 0.1, 0.2, 0.5, 0.8], ["dog", 0.75, 0.0, 1.0, 1.0]]),
    ],
)
def test_a_table_has_a_row_a_picture(coco: Path, choice: str, boxes: list[list[object]]) -> None:
    table = coco.with_name("boxes.csv")

    assert boxes_to_table.main(["coco", str(coco), str(table), f"on_bad_box={choice}"]) == 0
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], json.loads(row["boxes"])) for row in rows] == [("a.png", boxes)]


def test_bad_boxes_are_told_and_nothing_is_written(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = coco.with_name("boxes.csv")

    assert boxes_to_table.main(["coco", str(coco), str(table)]) == 3
    assert "annotation 2: box [0.75, 0" in capsys.readouterr().err
    assert not table.exists()


@pytest.mark.parametrize(
    "words", [[], ["--help"], ["coco", "boxes.csv"], ["csv", "a", "b.csv"], ["coco", "a", "b", "on_bad_box=no"]]
)
def test_a_wrong_command_line_is_answered_by_the_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert boxes_to_table.main(words) == 2
    assert "python scripts/boxes_to_table.py coco annotations.json" in capsys.readouterr().err

"""Classes by name: their words decide, names that training has not shown are found, and what is unknown is said."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from mmtrain import compose, training
from mmtrain.class_names import ClassNames, words
from mmtrain.commands import predict
from mmtrain.contracts import DataSpec, SignalSpec
from mmtrain.data.builtin.shapes import COLOURS, KINDS, SIDE, shapes
from mmtrain.errors import ConfigError
from mmtrain.precision import average_precision
from mmtrain.target import TargetSpec
from mmtrain.tasks.detection import Detection

ALL = [f"{colour} {kind}" for colour in COLOURS for kind in KINDS]
HELD_OUT = ("red circle", "blue square", "yellow cross")
NAME = re.compile(rf"({'|'.join(COLOURS)}) ({'|'.join(KINDS)})")


def write_tables(folder: Path, *, train_rows: int, val_rows: int, test_rows: int) -> None:
    """`train.csv` of pictures without the held-out combinations, `new.csv` of pictures that have one, and their truth.

    The built-in sentences name colour and kind in the order of the boxes.
    """
    source = shapes(train_rows=train_rows, val_rows=val_rows, test_rows=test_rows)
    tables: dict[str, list[list[str]]] = {"train": [], "new": []}
    for split, rows in source.splits.items():
        for row in rows:
            names = [" ".join(found) for found in NAME.findall(str(source.cell(row, "text")))]
            boxes = json.loads(source.target(row, "boxes") or "")
            assert [name.split()[1] for name in names] == [kind for kind, *_ in boxes]
            new = any(name in HELD_OUT for name in names)
            if new == (split == "test"):
                file = f"{split}{row}.png"
                (folder / file).write_bytes(source.cell(row, "image"))  # type: ignore[arg-type]
                named = [[name, *corners] for name, (_, *corners) in zip(names, boxes, strict=True)]
                tables["new" if new else "train"].append([file, json.dumps(named), "train" if new else split])
    for name, lines in tables.items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file_of_rows:
            csv.writer(file_of_rows).writerows([["image", "boxes", "split"], *lines])


def trained(folder: Path, *options: str) -> Path:
    return training.start(
        compose.compose(
            [
                "experiment=image_detection",
                "dataset=table",
                f"dataset.path={folder}/train.csv",
                "dataset.target=boxes",
                "task.classes_from=names",
                "trainer.tensorboard=false",
                "num_threads=1",
                f"output_dir={folder}/outputs",
                *options,
            ]
        )
    )


def boxes_of(path: Path, column: str, classes: Sequence[str]) -> list[torch.Tensor]:
    """Of each row [n,5 or 6]: class, corners, and a score where there is one."""
    with path.open(newline="", encoding="utf-8") as file:
        cells = [json.loads(row[column]) for row in csv.DictReader(file)]
    return [
        torch.tensor([[float(classes.index(name)), *numbers] for name, *numbers in cell]).reshape(len(cell), -1)
        for cell in cells
    ]


def test_a_logit_is_a_cosine_by_a_factor_and_a_shift() -> None:
    """Words at right angles: `red car` lies half-way between them, at a cosine of 1 / sqrt 2 to each."""
    layer = ClassNames(["red car", "blue"], 3)
    assert layer.known == ("blue", "car", "red")
    with torch.no_grad():
        layer.vectors.weight.copy_(torch.eye(3))
        layer.log_factor.zero_()
    shown = torch.tensor([[[0.0, 2.0, 0.0], [3.0, 0.0, 0.0]]])  # what a car shows, then something blue
    shift = torch.tensor([[[0.5], [0.0]]])

    torch.testing.assert_close(layer(shown, shift), torch.tensor([[[0.5**0.5 + 0.5, 0.5], [0.0, 1.0]]]))
    layer.ask(["Blue_car", "red"])
    torch.testing.assert_close(layer(shown, shift), torch.tensor([[[0.5**0.5 + 0.5, 0.5], [0.5**0.5, 0.0]]]))


def test_words_are_told_apart_in_languages_with_and_without_blanks() -> None:
    assert words("Red-car_2") == ["red", "car", "2"]
    assert words("红圆") == ["红", "圆"]
    assert words("+") == ["+"]


def test_what_cannot_be_asked_for_is_said() -> None:
    layer = ClassNames(["red car", "blue"], 2)
    with pytest.raises(ValueError, match=r"class 'bleu': .* word 'bleu'\. Did you mean `blue`\? Known: blue, car, red"):
        layer.ask(["red", "bleu"])
    with pytest.raises(ValueError, match="'car red' and 'red car' have the same words"):
        layer.ask(["car red", "red car"])


def test_predict_looks_for_the_classes_it_is_given(tmp_path: Path) -> None:
    """An untrained model says them all, and no others."""
    write_tables(tmp_path, train_rows=60, val_rows=3, test_rows=6)
    small = ("encoder.image.channels=[4,8]", "encoder.image.hidden_size=8", "width=16", "task.hidden_size=8")
    tiny = (*small, "trainer.epochs=1", "task.threshold=0", "task.max_boxes=1000")
    folder = trained(tmp_path, *tiny)
    arguments = [f"input={tmp_path}/new.csv", f"output={tmp_path}/said.csv", "pictures=0"]
    predict.run([str(folder), *arguments, "classes=red circle, blue square"])

    said = (tmp_path / "said.csv").read_text(encoding="utf-8")
    assert {name for name in ALL if name in said} == {"red circle", "blue square"}
    content = json.loads((tmp_path / "said_boxes" / "coco.json").read_text(encoding="utf-8"))
    assert [category["name"] for category in content["categories"]] == ["red circle", "blue square"]
    with pytest.raises(ConfigError, match="`classes=pink circle`: class 'pink circle': no class in training has"):
        predict.run([str(folder), *arguments, "classes=pink circle"])
    with pytest.raises(ConfigError, match="expected distinct names"):
        predict.run([str(folder), *arguments, "classes=red circle,"])


def test_a_run_of_numbered_classes_cannot_be_asked() -> None:
    boxes = TargetSpec("boxes", "boxes", ("red car", "dog"), (1, 1), length=2)
    task = Detection(DataSpec({"image": SignalSpec("image", "image", (3, 8, 8))}, {"boxes": boxes}))

    with pytest.raises(ValueError, match=r"by number; train with `task\.classes_from=names`"):
        task.ask(task.make_head(8), ["red dog"])


@pytest.mark.slow
def test_a_combination_that_training_has_not_shown_is_found(tmp_path: Path) -> None:
    """No red circle, blue square or yellow cross in training; asked for all thirty names, it tells them apart."""
    write_tables(tmp_path, train_rows=1500, val_rows=60, test_rows=150)
    folder = trained(tmp_path, "seed=1")
    predict.run(
        [
            str(folder),
            f"input={tmp_path}/new.csv",
            f"output={tmp_path}/said.csv",
            "pictures=0",
            f"classes={','.join(ALL)}",
        ]
    )
    truth = boxes_of(tmp_path / "new.csv", "boxes", ALL)
    scores = average_precision(truth, boxes_of(tmp_path / "said.csv", "prediction", ALL), ALL, size=(SIDE, SIDE))

    assert min(scores[f"ap50_{name}"] for name in HELD_OUT) > 0.7

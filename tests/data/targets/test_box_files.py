"""Boxes of COCO, YOLO and Pascal VOC become the same rows; what is wrong in them is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mmtrain.data.targets.box_files import Found, clipped, coco, rows, voc, yolo
from mmtrain.data.targets.boxes import read_frames
from mmtrain.errors import DataError

EXPECTED = [("cat", 0.1, 0.2, 0.5, 1.0)]
"""A picture of 100 x 50 pixels; the box has its upper left pixel at 10, 10 and is 40 wide and 40 high."""


def make_coco(folder: Path, **changes: object) -> Iterator[Found]:
    (folder / "images").mkdir(exist_ok=True)
    (folder / "images" / "a.png").touch()
    content = {
        "images": [{"id": 7, "file_name": "images/a.png", "width": 100, "height": 50}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 10, 40, 40]}],
    }
    (folder / "a.json").write_text(json.dumps(content | changes), encoding="utf-8")
    return coco(folder / "a.json", "train")


def make_yolo(folder: Path, *, line: str = "1 0.3 0.6 0.4 0.8", names: str = "[dog, cat]") -> Iterator[Found]:
    for name in ("images/train", "labels/train"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for picture in ("a.png", "empty.png"):
        (folder / "images" / "train" / picture).touch()
    (folder / "labels" / "train" / "a.txt").write_text(f"{line}\n", encoding="utf-8")
    (folder / "data.yaml").write_text(f"path: .\ntrain: images/train\nnames: {names}\n", encoding="utf-8")
    return yolo(folder / "data.yaml")


def make_voc(folder: Path, *, xmax: str = "50", head: str = "") -> Iterator[Found]:
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "JPEGImages" / "a.jpg").touch()
    corners = f"<xmin>11</xmin><ymin>11</ymin><xmax>{xmax}</xmax><ymax>50</ymax>"
    (folder / "Annotations" / "a.xml").write_text(
        f"{head}<annotation><filename>a.jpg</filename><size><width>100</width><height>50</height></size>"
        f"<object><name>cat</name><bndbox>{corners}</bndbox></object></annotation>",
        encoding="utf-8",
    )
    (folder / "ImageSets" / "Main" / "train.txt").write_text("a\n", encoding="utf-8")
    return voc(folder)


def refuse(place: str, box: object, reason: str) -> None:
    raise AssertionError(f"{place} {box} {reason}")


@pytest.mark.parametrize("make", [make_coco, make_yolo, make_voc])
def test_every_form_gives_the_same_boxes(make: Callable[[Path], Iterator[Found]], tmp_path: Path) -> None:
    """Of a picture that train has; YOLO's second picture, without a label file, shows nothing."""
    first, *others = rows(make(tmp_path), tmp_path, keep=refuse)

    assert read_frames(first["boxes"]) == (0, [EXPECTED])
    assert first["split"] == "train"
    assert (tmp_path / first["image"]).is_file()
    assert [row["boxes"] for row in others] == ["[]"] * len(others)


def test_a_bad_box_is_told_with_its_place_and_may_be_clipped(tmp_path: Path) -> None:
    told = []
    annotations = [{"id": 9, "image_id": 7, "category_id": 3, "bbox": [90, 10, 40, 20]}]

    (row,) = rows(
        make_coco(tmp_path, annotations=annotations),
        tmp_path,
        keep=lambda place, box, reason: (told.append(f"{place}: {reason}"), clipped(box))[1],
    )

    assert read_frames(row["boxes"]) == (0, [[("cat", 0.9, 0.2, 1.0, 0.6)]])
    assert told[0].endswith(
        "a.json: annotation 9: box [0.9, 0.2, 1.3, 0.6] reaches beyond the picture, which is 0 to 1"
        " in shares of its width and height"
    )
    assert clipped(("cat", 1.5, 0, 2, 1)) is None


@pytest.mark.parametrize(
    ("found", "place"),
    [
        (
            lambda f: make_coco(f, annotations=[{"id": 9, "image_id": 7, "category_id": 4, "bbox": [0, 0, 9, 9]}]),
            "a.json: annotation 9, category 4",
        ),
        (lambda f: make_yolo(f, line="5 0.5 0.5 1 1"), "a.txt:1, class 5"),
    ],
)
def test_a_box_of_no_class_of_the_file_is_bad_and_cannot_be_clipped(
    found: Callable[[Path], Iterator[Found]], place: str, tmp_path: Path
) -> None:
    told = []

    first, *_ = rows(
        found(tmp_path),
        tmp_path,
        keep=lambda where, box, reason: (told.append(f"{where}: {reason}"), clipped(box))[1],
    )

    assert first["boxes"] == "[]"
    assert len(told) == 1
    assert told[0].endswith(f"{place}: the file does not say what class this is")


def test_an_edge_that_is_off_by_rounding_is_no_fault(tmp_path: Path) -> None:
    """0.9000005 + 0.1 is the right edge."""
    first, _ = rows(make_yolo(tmp_path, line="0 0.9000005 0.5 0.2 1"), tmp_path, keep=refuse)

    assert read_frames(first["boxes"]) == (0, [[("dog", 0.8, 0.0, 1.0, 1.0)]])


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (lambda f: make_coco(f, annotations=[{"image_id": 8, "category_id": 3, "bbox": []}]), "0 is of a picture that"),
        (lambda f: make_coco(f, annotations=[{"image_id": 7, "category_id": 3}]), "no COCO file of boxes: KeyError"),
        (lambda f: make_coco(f, images=3), "no COCO file of boxes: TypeError"),
        (
            lambda f: make_coco(f, categories=[{"id": 3, "name": "cat"}, {"id": 4, "name": "cat"}]),
            "the class name 'cat' is blank or stands for two classes",
        ),
        (lambda f: make_yolo(f, line="0 0 0 1"), "expected class, x, y, width, height"),
        (lambda f: make_yolo(f, names="3"), "has no `names`"),
        (lambda f: make_voc(f, xmax="wide"), "is no Pascal VOC annotation: could not convert"),
        (lambda f: make_voc(f, head='<!DOCTYPE a [<!ENTITY b "c">]>'), "declares entities"),
        (lambda f: voc(f / "elsewhere"), r"has no \.xml file"),
    ],
)
def test_a_set_that_cannot_be_read_says_where(
    found: Callable[[Path], Iterator[Found]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        list(rows(found(tmp_path), tmp_path, keep=refuse))


def test_a_picture_outside_the_folder_of_the_table_is_refused(tmp_path: Path) -> None:
    """The table could not name it."""
    (tmp_path / "table").mkdir()

    with pytest.raises(DataError, match="is not below"):
        list(rows(make_coco(tmp_path), tmp_path / "table", keep=refuse))

"""Boxes as other tools keep them, as rows of a table: COCO's JSON, YOLO's text files, Pascal VOC's XML.

A row holds `image`, the path of a picture relative to the folder of the table, `boxes`, a cell as `BoxesTarget` reads
it, and `split` where the source says one. Every box is held against the picture; what to do with a bad one is the
caller's choice, and each is named.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import yaml

from mmtrain.data.targets.boxes import Box, require_box
from mmtrain.errors import DataError

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
LARGEST = 2**30  # bytes of a file of annotations


class Found(NamedTuple):
    """One picture as its file of annotations describes it; corners in shares of its width and height."""

    image: Path
    boxes: list[tuple[str, Box]]  # where each stands, for messages; its label is '' where the file has no such class
    split: str = ""


def coco(path: Path, split: str = "") -> Iterator[Found]:
    """The pictures of a COCO file, in its order; `bbox` is left, top, width, height in pixels. Crowds are left out.

    Raises:
        DataError: A key is missing or of another type, two categories have one name, or an annotation has a picture
            that is not there.
    """
    content = _json(path)
    try:
        names = {int(one["id"]): str(one["name"]) for one in content["categories"]}
        pictures = {int(one["id"]): one for one in content["images"]}
        boxes: dict[int, list[tuple[str, Box]]] = {number: [] for number in pictures}
        for place, one in enumerate(content["annotations"]):
            where = f"{path}: annotation {one.get('id', place)}"
            if one["image_id"] not in pictures:
                raise DataError(f"{where} is of a picture that the file does not have; mend the file.")
            if one.get("iscrowd"):
                continue
            picture = pictures[one["image_id"]]
            left, top, width, height = map(float, one["bbox"])
            corners = (left, top, left + width, top + height)
            label = names.get(one["category_id"], "")
            where += "" if label else f", category {one['category_id']}"
            box = _shares(label, corners, float(picture["width"]), float(picture["height"]))
            boxes[one["image_id"]].append((where, box))
        found = [
            Found(path.parent / picture["file_name"], boxes[number], split) for number, picture in pictures.items()
        ]
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise DataError(f"{path} is no COCO file of boxes: {type(error).__name__} {error}; mend the file.") from None
    _require_names(path, names)
    yield from found


def yolo(path: Path) -> Iterator[Found]:
    """The pictures that a YOLO data file (`path`, `train`, `val`, `test`, `names`) lists, a folder a split.

    The labels of `images/a/b.jpg` are in `labels/a/b.txt`: class, middle x and y, width and height in shares of the
    picture, one box a line. A picture without such a file shows nothing.

    Raises:
        DataError: The file has no names, or two alike; a folder is not there; a line cannot be read.
    """
    with path.open(encoding="utf-8") as file:
        content = yaml.safe_load(file)
    listed = content.get("names") if isinstance(content, dict) else None
    if not isinstance(listed, list | dict):
        raise DataError(f"{path} has no `names` of the classes.")
    names = {int(key): str(name) for key, name in (listed.items() if isinstance(listed, dict) else enumerate(listed))}
    _require_names(path, names)
    root = path.parent / str(content.get("path") or ".")
    for split in ("train", "val", "test"):
        folders = content.get(split) or []
        for folder in [folders] if isinstance(folders, str) else folders:
            if not (root / folder).is_dir():
                raise DataError(f"{path}: `{split}` is {root / folder}, which is no folder.")
            for image in sorted(file for file in (root / folder).rglob("*") if file.suffix.lower() in PICTURES):
                yield Found(image, list(_yolo_boxes(_labels_of(image), names)), split)


def voc(folder: Path) -> Iterator[Found]:
    """The pictures of a Pascal VOC folder: `Annotations/*.xml` and `JPEGImages`.

    Corners are pixels, counted from 1, both inside the box. Where there is `ImageSets/Main/train.txt` (or val, test),
    these say the splits, and a picture that none of them names is left out.

    Raises:
        DataError: There is no annotation, or one cannot be read.
    """
    files = sorted((folder / "Annotations").glob("*.xml"))
    if not files:
        raise DataError(f"{folder / 'Annotations'} has no .xml file.")
    splits = {
        name: split
        for split in ("train", "val", "test")
        if (folder / "ImageSets" / "Main" / f"{split}.txt").is_file()
        for line in (folder / "ImageSets" / "Main" / f"{split}.txt").read_text(encoding="utf-8").splitlines()
        for name in line.split()[:1]
    }
    for file in files:
        if splits and file.stem not in splits:
            continue
        text = _text(file)
        if "<!" in text.replace("<!--", ""):
            raise DataError(f"{file} declares entities or a document type, which annotations never need.")
        try:
            root = ElementTree.fromstring(text)
            size = [float(_child(root, f"size/{side}")) for side in ("width", "height")]
            boxes = []
            for number, entry in enumerate(root.iter("object"), 1):
                left, top, right, bottom = (
                    float(_child(entry, f"bndbox/{c}")) for c in ("xmin", "ymin", "xmax", "ymax")
                )
                box = _shares(_child(entry, "name").strip(), (left - 1, top - 1, right, bottom), *size)
                boxes.append((f"{file}: object {number}", box))
            yield Found(folder / "JPEGImages" / _child(root, "filename"), boxes, splits.get(file.stem, ""))
        except (ElementTree.ParseError, ValueError, ZeroDivisionError) as error:
            raise DataError(f"{file} is no Pascal VOC annotation: {error}.") from None


def rows(
    found: Iterator[Found], folder: Path, *, keep: Callable[[str, Box, str], Box | None]
) -> Iterator[dict[str, str]]:
    """Rows of a table in a folder.

    Args:
        found: Pictures with their boxes.
        folder: Where the table will lie; the pictures are at or below it.
        keep: Called with the place, the box and the reason for each bad box, also one of a class that the file does not
            have: what to write in its stead, None: nothing.

    Raises:
        DataError: A picture is not there, or not below the folder.
    """
    for picture in found:
        image = picture.image.resolve()
        if not image.is_file() or not image.is_relative_to(folder.resolve()):
            where = "is not there" if not image.is_file() else f"is not below {folder}, where the table will lie"
            raise DataError(f"{picture.image} {where}.")
        boxes = []
        for place, box in picture.boxes:
            kept: Box | None = box
            try:
                _require_label(box[0])
                require_box(*box[1:])
            except ValueError as error:
                kept = keep(place, box, str(error))
            if kept is not None:
                boxes.append(list(kept))
        cell = json.dumps(boxes, ensure_ascii=False)
        row = {"image": image.relative_to(folder.resolve()).as_posix(), "boxes": cell}
        yield row | ({"split": picture.split} if picture.split else {})


def clipped(box: Box) -> Box | None:
    """The part of a box that is inside the picture; None where there is none, or nobody knows what it is."""
    left, top, right, bottom = (min(max(corner, 0.0), 1.0) for corner in box[1:])
    return (box[0], left, top, right, bottom) if box[0] and left < right and top < bottom else None


def _require_label(label: str) -> None:
    if not label:
        raise ValueError("the file does not say what class this is")


def _shares(label: str, corners: tuple[float, float, float, float], width: float, height: float) -> Box:
    left, top, right, bottom = corners
    return _rounded(label, left / width, top / height, right / width, bottom / height)


def _rounded(label: str, *corners: float) -> Box:
    """To 5 digits: YOLO's 6 digits put the edge of a full picture at 1.0000005, which is no fault."""
    left, top, right, bottom = (round(corner, 5) for corner in corners)
    return label, left, top, right, bottom


def _labels_of(image: Path) -> Path:
    """`labels` in place of the last folder called `images`."""
    parts = list(image.with_suffix(".txt").parts)
    places = [place for place, part in enumerate(parts) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return Path(*parts)


def _yolo_boxes(path: Path, names: Mapping[int, str]) -> Iterator[tuple[str, Box]]:
    for number, line in enumerate(_text(path).splitlines() if path.is_file() else (), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            label, x, y, width, height = line.split()
            name = names.get(int(label), "")
            middle_x, middle_y, half_width, half_height = float(x), float(y), float(width) / 2, float(height) / 2
        except ValueError:
            raise DataError(f"{where}: {line[:80]!r}: expected class, x, y, width, height.") from None
        corners = middle_x - half_width, middle_y - half_height, middle_x + half_width, middle_y + half_height
        yield where if name else f"{where}, class {label}", _rounded(name, *corners)


def _require_names(path: Path, names: Mapping[int, str]) -> None:
    twice = sorted({name for name in names.values() if list(names.values()).count(name) > 1})
    if twice or not all(name.strip() for name in names.values()):
        raise DataError(f"{path}: the class name '{twice[0] if twice else ''}' is blank or stands for two classes.")


def _child(element: ElementTree.Element, path: str) -> str:
    text = element.findtext(path)
    if text is None:
        raise ValueError(f"no <{path}>")
    return text


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path} has more than {LARGEST:,} bytes.")
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from None


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON: {error}.") from None

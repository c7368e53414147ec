"""Average precision of boxes, as the COCO challenge defines it, by faster-coco-eval."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mmtrain.errors import ConfigError


def average_precision(
    truth: Sequence[Tensor], found: Sequence[Tensor], classes: Sequence[str], *, size: tuple[int, int]
) -> dict[str, float]:
    """Scores the boxes of pictures.

    Args:
        truth: Of each picture, [n,5]: class, left, top, right, bottom, the last four in 0..1.
        found: Likewise [n,6], with the score.
        classes: Names of the classes; one that no picture has is nan, and left out of the means.
        size: Height and width of the pictures in pixels.

    Returns:
        `ap`, `ap50`, `ap75`, and `ap50_<class>`; nan where there is no true box.

    Raises:
        ConfigError: faster-coco-eval is not installed.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError:
        raise ConfigError(
            "boxes are scored by faster-coco-eval, which is not installed: pip install 'mmtrain[detection]'"
        ) from None
    names = ["ap", "ap50", "ap75", *(f"ap50_{name}" for name in classes)]
    annotations = coco(truth, size)
    if not annotations:
        return dict.fromkeys(names, float("nan"))
    detections = coco(found, size)
    with contextlib.redirect_stdout(io.StringIO()):
        gold = COCO(
            {
                "info": {},
                "images": [{"id": at, "height": size[0], "width": size[1]} for at in range(len(truth))],
                "categories": [{"id": number, "name": name} for number, name in enumerate(classes)],
                "annotations": [{**box, "id": at, "iscrowd": 0} for at, box in enumerate(annotations, 1)],
            }
        )
        if not detections:
            there = {box["category_id"] for box in annotations}
            return {name: 0.0 if at < 3 or at - 3 in there else float("nan") for at, name in enumerate(names)}
        scored = COCOeval_faster(gold, gold.loadRes(detections), "bbox")
        scored.evaluate()
        scored.accumulate()
    precision = scored.eval["precision"]  # [overlaps, recalls, classes, areas, most detections]; -1: no such class
    whole = precision[:, :, :, 0, -1]

    def mean(values: NDArray[np.float64]) -> float:
        real = values[values > -1]
        return float(real.mean()) if real.size else float("nan")

    by_class = {f"ap50_{name}": mean(whole[0, :, number]) for number, name in enumerate(classes)}
    return {"ap": mean(whole), "ap50": mean(whole[0]), "ap75": mean(whole[5]), **by_class}


def coco(pictures: Sequence[Tensor], size: tuple[int, int]) -> list[dict[str, object]]:
    """Boxes [n,5] or, with scores, [n,6] of each picture as entries of COCO's JSON, in pixels."""
    height, width = size
    entries: list[dict[str, object]] = []
    for picture, boxes in enumerate(pictures):
        for number, left, top, right, bottom, *score in boxes.tolist():
            wide, high = (right - left) * width, (bottom - top) * height
            entry: dict[str, object] = {
                "image_id": picture,
                "category_id": int(number),
                "bbox": [left * width, top * height, wide, high],
                "area": wide * high,
            }
            entries.append({**entry, "score": score[0]} if score else entry)
    return entries

"""Boxes that stay with their picture: what moves the one moves the others, and frames keep their numbers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch

from mmtrain import seeding
from mmtrain.data.dataset import Data
from mmtrain.errors import ConfigError
from mmtrain.offers import Joining, Locating, Moving
from mmtrain.protocols import Task
from mmtrain.target import Target


def anchored(data: Data, task: Task) -> Data:
    """The data with the boxes of a `Locating` task, or of such a one inside it, tied to the pictures of its anchor.

    Raises:
        ConfigError: The pictures are cut or padded as they are read, or augmented in a way that boxes cannot follow.
    """
    if not isinstance(task, Locating):
        for child in task.tasks.values() if isinstance(task, Joining) else ():
            data = anchored(data, child)
        return data
    anchor, target = task.anchor, task.target
    data = replace(data, ordered=data.ordered | {anchor})
    resize = getattr(data.readers[anchor], "resize", "squash")
    if resize != "squash":
        raise ConfigError(
            f"`reader.{anchor}.resize` (={resize}): boxes are shares of the whole picture, which this changes; set it "
            f"to squash, and `reader.{anchor}.size` to [height, width] to keep proportions."
        )
    augment = data.augments.get(anchor)
    if augment is None:
        return data
    try:
        if not isinstance(augment, Moving):
            raise ValueError(f"{type(augment).__name__} does not say where boxes go; choose augment/{anchor}=none")
        augment.moved(torch.zeros(0, 5), 0)
    except ValueError as error:
        raise ConfigError(f"`augment.{anchor}`: {error}.") from None
    return replace(data, moves={**data.moves, target: partial(_moved, augment=augment, anchor=anchor)})


def _moved(target: Target, key: int, *, augment: Moving, anchor: str) -> Target:
    key = seeding.key(key, anchor)  # that by which `Data` changes the picture
    return target._replace(values=[augment.moved(boxes, key) for boxes in target.ragged])

"""Boxes go where augmentation takes their picture, in training only; what they cannot follow is refused."""

from __future__ import annotations

import io
import json
from functools import partial

import pytest
import torch
from PIL import Image, ImageDraw

from mmtrain.contracts import Draw, SignalSpec
from mmtrain.data.anchoring import anchored
from mmtrain.data.augment.image import ImageAugment
from mmtrain.data.augment.text import WordDropout
from mmtrain.data.dataset import Data
from mmtrain.data.memory import MemorySource
from mmtrain.data.readers.image import ImageReader
from mmtrain.data.readers.video import VideoReader
from mmtrain.data.targets.boxes import BoxesTarget
from mmtrain.errors import ConfigError, DataError
from mmtrain.tasks.detection import Detection
from mmtrain.tasks.multi_task import MultiTask

IMAGE = SignalSpec("image", "image", shape=(1, 60, 80))
BOX = torch.tensor([[1.0, 0.25, 0.2, 0.5, 0.6]])


def prepared(augment=None, **reader) -> Data:
    """One grey picture of 80 x 60 pixels with a white rectangle and its box."""
    picture = Image.new("L", (80, 60), 0)
    ImageDraw.Draw(picture).rectangle((20, 12, 39, 35), fill=255)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    row = ({"image": buffer.getvalue()}, json.dumps([["a", 0.25, 0.2, 0.5, 0.6]]))
    return Data.prepare(
        MemorySource({"train": [row]}, kinds={"image": "image"}, target="boxes", split_origin="given"),
        readers={"image": lambda name: ImageReader(name, **{"size": [60, 80], "channels": 1, **reader})},
        modalities=None,
        targets={"boxes": BoxesTarget("boxes")},
        augments={"image": augment} if augment else None,
    )


def test_a_mirrored_box_has_its_right_edge_for_the_left_one():
    moved = ImageAugment(IMAGE, shift=0, flip=1).moved(BOX, key=0)

    torch.testing.assert_close(moved, torch.tensor([[1.0, 0.5, 0.2, 0.75, 0.6]]))


def test_boxes_that_are_cut_off_are_gone_and_frames_stay_with_theirs():
    """A cut-out of a twentieth of the picture holds at most one of two boxes in far corners."""
    boxes = torch.tensor([[0.0, 0.0, 0.0, 0.1, 0.1, 3.0], [1.0, 0.9, 0.9, 1.0, 1.0, 5.0]])
    crop = ImageAugment(IMAGE, crop=0.05, shift=0, flip=0)

    found = [crop.moved(boxes, key) for key in range(40)]

    assert {len(rows) for rows in found} >= {0}
    assert all(len(rows) < 2 for rows in found)
    assert all(tuple(rows[0, [0, 5]].tolist()) in {(0.0, 3.0), (1.0, 5.0)} for rows in found if len(rows))


@pytest.mark.parametrize("moves", [{"crop": 0.4, "shift": 0.0}, {"shift": 0.2}])
def test_the_box_is_around_what_it_was_around_after_every_move(moves):
    """Of a white rectangle on black, by the pixels of the picture that the model gets: off by a pixel at most.

    Not both at once: where a cut goes through the rectangle, the edge that fills the gap of a shift repeats it.
    """
    data = prepared(partial(ImageAugment, flip=0.5, brightness=0.2, **moves))
    data = anchored(data, Detection(data.spec))

    places = []
    for key in range(25):
        sample = data.samples([Draw(0, key)], train=True)[0]
        values, boxes = sample.values["image"], sample.targets["boxes"].ragged[0]
        assert values is not None
        rows, columns = (values[0] > 0).nonzero(as_tuple=True)
        if not len(boxes):
            assert len(rows) == 0 or min(int(rows.max() - rows.min()), int(columns.max() - columns.min())) < 2
            continue
        seen = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert (boxes[0, 1:] * torch.tensor([80, 60, 80, 60]) - seen).abs().max() <= 1.5, key
        places.append(round(float(boxes[0, 1]), 3))

    assert len(set(places)) > 10


def test_evaluation_sees_boxes_as_they_are_written():
    data = prepared(partial(ImageAugment, shift=0, flip=1))
    data = anchored(data, MultiTask(data.spec, tasks={"where": Detection(data.spec)}))

    train, evaluated = (
        data.samples([Draw(0, 7)], train=train)[0].targets["boxes"].ragged[0] for train in (True, False)
    )

    torch.testing.assert_close(evaluated, torch.tensor([[0.0, 0.25, 0.2, 0.5, 0.6]]))
    torch.testing.assert_close(train, torch.tensor([[0.0, 0.5, 0.2, 0.75, 0.6]]))


def test_what_boxes_cannot_follow_is_refused_before_training():
    bent, unknown = prepared(partial(ImageAugment, policy="trivial")), prepared()
    unknown.augments["image"] = WordDropout(SignalSpec("text", "text", length=2, vocabulary=("<pad>", "<unknown>")))
    cut = prepared(resize="crop")

    for data, reason in (
        (bent, r"`augment.image`: `policy` \(=trivial\) .*; set it to null"),
        (unknown, "`augment.image`: WordDropout does not say where boxes go; choose augment/image=none"),
        (cut, r"`reader.image.resize` \(=crop\): boxes are shares of the whole picture"),
    ):
        with pytest.raises(ConfigError, match=reason):
            anchored(data, Detection(data.spec))


def test_a_blank_picture_before_another_is_refused_as_boxes_are_told_by_number():
    """The last of three may be blank; without the first, the boxes of the second would be those of the first."""
    picture = io.BytesIO()
    Image.new("L", (8, 8)).save(picture, "PNG")
    pictures = [(picture.getvalue(),) * 3, (*(picture.getvalue(),) * 2, None), (None, *(picture.getvalue(),) * 2)]
    data = Data.prepare(
        MemorySource(
            {"train": [({"video": cell}, json.dumps([[["a", 0, 0, 1, 1]]] * 3)) for cell in pictures]},
            kinds={"video": "video"},
            target="boxes",
            split_origin="given",
        ),
        readers={"video": lambda name: VideoReader(name, num_frames=3, size=8, channels=1)},
        modalities=None,
        targets={"boxes": BoxesTarget("boxes")},
    )
    data = anchored(data, Detection(data.spec))

    assert [len(data.samples([Draw(row, 0)], train=True)[0].values["video"]) for row in (0, 1)] == [3, 2]
    with pytest.raises(DataError, match="row train-0002, `video`: picture 1 of 3 is blank"):
        data.samples([Draw(2, 0)], train=False)

"""Detection: which token answers for which box, the loss of right and wrong ones, AP by hand, frames, bad input."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor, nn

from mmtrain.boxes import assign, corners_of, kept, overlap
from mmtrain.contracts import Batch, DataSpec, Fused, Results, Signal, SignalSpec, Tokens
from mmtrain.data.targets.boxes import BoxesTarget
from mmtrain.errors import ConfigError
from mmtrain.layers import grid
from mmtrain.target import Target, TargetSpec
from mmtrain.tasks.detection import Detection

BOXES = TargetSpec("boxes", "boxes", ("cat", "dog"), (1, 1), length=2)
PICTURE = DataSpec({"image": SignalSpec("image", "image", (3, 40, 40))}, {"boxes": BOXES})
VIDEO = DataSpec(
    {"video": SignalSpec("video", "video", (1, 40, 40), length=2)},
    {"boxes": TargetSpec("boxes", "boxes", ("cat", "dog"), (1, 1), length=2, frames=2)},
)
PLACES = grid(torch.zeros(1, 1, 4, 4), torch.ones(1, 1, dtype=torch.bool)).positions[:, :, 1:]  # type: ignore[index]
STEP = torch.tensor([0.25, 0.25])
BOX = torch.tensor([[1.0, 0.25, 0.25, 0.75, 0.75]])  # a dog over the four tokens in the middle


def batch(
    boxes: list[Tensor], *, frames: int = 1, shown: list[int] | None = None, mask: list[bool] | None = None
) -> Batch:
    """Pictures, or videos of which each has so many frames."""
    rows, name = len(boxes), "image" if frames == 1 else "video"
    there = torch.arange(frames) < torch.tensor([frames] * rows if shown is None else shown).unsqueeze(1)
    target = Target(boxes, torch.tensor([True] * rows if mask is None else mask))
    signal = {name: Signal(torch.zeros(rows, frames), there)}
    return Batch(signal, {"boxes": target}, [str(row) for row in range(rows)], torch.zeros(rows), torch.ones(rows), {})


def outputs(rows: int, *, frames: int = 1, logit: float = -20.0) -> dict[str, Tensor]:
    """Of a grid of 4x4 tokens; each says nothing, and that a box of two steps is around it."""
    count = frames * 16
    places = PLACES.repeat(rows, frames, 1)
    return {"logits": torch.full((rows, count, 2), logit), "distances": torch.ones(rows, count, 4), "places": places}


def test_tokens_near_the_middle_of_a_box_answer_for_it() -> None:
    """The four inner tokens of 16 have the box; row by row they are 5, 6, 9 and 10."""
    given = assign([BOX, BOX[:0]], PLACES.expand(2, -1, -1), STEP)

    assert given.positive.nonzero().tolist() == [[0, 5], [0, 6], [0, 9], [0, 10]]
    assert given.classes[0, 5] == 1
    torch.testing.assert_close(given.corners[0, 10], BOX[0, 1:])


def test_a_box_between_tokens_is_given_the_nearest_and_a_small_one_beats_a_large_one() -> None:
    tiny = torch.tensor([[0.0, 0.28, 0.28, 0.3, 0.3], [1.0, 0.0, 0.0, 1.0, 1.0]])
    given = assign([tiny], PLACES, STEP)

    assert given.positive.sum() == 4, "the large one answers where it is near its middle"
    assert given.classes[0, 5] == 0
    torch.testing.assert_close(given.corners[0, 5], tiny[0, 1:])


def test_distances_in_steps_make_boxes() -> None:
    """A token at (.375, .375) with one step to the left and above, two to the right and below."""
    made = corners_of(torch.tensor([1.0, 1, 2, 2]).expand(1, 16, 4), PLACES, STEP)

    torch.testing.assert_close(made[0, 5], torch.tensor([0.125, 0.125, 0.875, 0.875]))


def test_overlap_of_cases_by_hand() -> None:
    """Equal; half; beside each other with a gap as wide as each."""
    one = torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]])
    other = torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 0.5], [2, 0, 3, 1]])
    found = overlap(one, other)

    torch.testing.assert_close(found.iou, torch.tensor([1.0, 0.5, 0.0]))
    torch.testing.assert_close(found.giou, torch.tensor([1.0, 0.5, -1 / 3]))


def test_the_loss_of_right_boxes_that_nobody_says() -> None:
    """Two rows: four tokens with an overlap of 1 each say it with 1/2: 4 (1/2) log 2; the boxes cost nothing."""
    task = Detection(PICTURE)
    said = outputs(1)
    said["logits"][0, [5, 6, 9, 10], 1] = 0.0
    places = said["places"][0]
    edges = (
        torch.stack([places[:, 1] - 0.25, places[:, 0] - 0.25, 0.75 - places[:, 1], 0.75 - places[:, 0]], dim=1) / 0.25
    )
    said["distances"] = edges.unsqueeze(0)
    rows = batch([BOX])

    assert task.weight(rows) == 1.0
    assert task.loss(said, rows).item() == pytest.approx(4 * 0.5 * math.log(2), rel=1e-4)


def test_a_class_that_is_not_told_from_another_costs_its_cross_entropy() -> None:
    """Against the right class alone: both of two at log 1/2 say with 1/2 that there is something; 4 log 2 is added."""
    task, rows = Detection(PICTURE), batch([BOX])
    sure, unsure = outputs(1), outputs(1)
    sure["logits"][0, [5, 6, 9, 10], 1] = 0.0
    unsure["logits"][0, [5, 6, 9, 10]] = math.log(0.5)

    assert (task.loss(unsure, rows) - task.loss(sure, rows)).item() == pytest.approx(4 * math.log(2), rel=1e-4)


def test_classes_and_nothing_share_the_probability_of_a_token() -> None:
    """Two logits of 0 beside that of nothing, which is 0: each class has a third."""
    said = outputs(1)
    said["logits"][0, 5] = 0.0
    found = Detection(PICTURE).collect(said, batch([BOX]))

    torch.testing.assert_close(found[0][:, 5], torch.tensor([1 / 3, 1 / 3]))


def test_rows_without_boxes_to_learn_from_or_without_a_picture_count_nothing() -> None:
    task = Detection(PICTURE)
    said = outputs(4)
    said["logits"][2:] = torch.nan
    rows = batch([BOX, BOX[:0], BOX, BOX], shown=[1, 1, 0, 1], mask=[True, True, True, False])

    assert task.weight(rows) == 2.0, "a picture of nothing counts as one box"
    one, two = batch([BOX]), batch([BOX[:0]])
    alone = task.loss(outputs(1), one) + task.loss(outputs(1), two)
    torch.testing.assert_close(task.loss(said, rows), alone)


def test_suppression_is_within_a_class() -> None:
    """Three equal boxes: the surer cat and the dog stay; below the threshold nothing does."""
    scores = torch.tensor([[0.9, 0.0], [0.8, 0.0], [0.0, 0.7], [0.01, 0.01]])
    found = kept(scores, torch.tensor([[0.1, 0.1, 0.5, 0.5]]).expand(4, -1), threshold=0.05, overlap=0.5, most=10)

    torch.testing.assert_close(found[:, 0], torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(found[:, 5], torch.tensor([0.9, 0.7]))


def test_ap_of_a_case_by_hand() -> None:
    """The cat is found exactly, the dog with an overlap of .6; that counts up to .60: 3 of 10 overlaps."""
    task = Detection(PICTURE)
    truth = torch.tensor([[0.0, 0.0, 0.0, 0.5, 0.5], [1.0, 0.0, 0.0, 1.0, 1.0]])
    said = torch.tensor([[0.0, 0.0, 0.0, 0.5, 0.5, 0.9, 0.0], [1.0, 0.0, 0.0, 1.0, 0.6, 0.8, 0.0]])
    results = Results(["a"], [said], {"boxes": Target([truth], torch.tensor([True]))}, 0.0)
    scores = task.metrics(results)

    assert (scores["ap50"], scores["ap50_cat"], scores["ap50_dog"]) == (1.0, 1.0, 1.0)
    assert scores["ap75"] == 0.5
    assert 0.6 <= scores["ap"] <= 0.65, "the last overlap is at the border of .60"
    assert task.metrics(results._replace(outputs=[said[:0]]))["ap50"] == 0.0


def test_frames_are_scored_one_by_one_and_a_frame_that_is_not_there_shows_nothing() -> None:
    """The same box in both frames of a video; said for one only, it is found half of the time."""
    task = Detection(VIDEO)
    truth = torch.cat([BOX.repeat(2, 1), torch.tensor([[0.0], [1.0]])], dim=1)  # [2,6]
    said = outputs(1, frames=2)
    said["logits"][:, 16 + 5, 1] = 10.0
    rows = batch([truth], frames=2)
    (found,) = task.collect(said, rows)  # type: ignore[misc]
    results = Results(["a"], [found], {"boxes": rows.targets["boxes"]}, 0.0)

    assert found[:, 6].tolist() == [1.0]
    assert [len(frame) for frame in json.loads(task.table(results)["prediction"][0])] == [0, 1]  # type: ignore[arg-type]
    (cut,) = task.collect(said, batch([truth], frames=2, shown=[1]))  # type: ignore[misc]
    assert len(cut) == 0


@pytest.mark.parametrize("absent", [[False, False, False], [True, False, True], [True, True, True]])
def test_the_head_reads_the_grid_of_its_modality(absent: list[bool]) -> None:
    """Whichever rows have it, also none; its own values alone decide, until the context has learned."""
    task = Detection(PICTURE, hidden_size=8)
    head = task.make_head(4)
    there = ~torch.tensor(absent)
    tokens = grid(torch.randn(3, 4, 3, 5), there.unsqueeze(1))
    places = torch.where(there.view(3, 1, 1), tokens.positions, 0.0)  # as the model leaves them
    sequence = Tokens(torch.where(tokens.mask.unsqueeze(-1), tokens.values, 0), tokens.mask, places)
    fused = Fused(torch.randn(3, 4), sequence, {"image": slice(0, 15)}, {}, there.unsqueeze(1))
    said = head(fused)
    count = 1 if all(absent) else 15

    assert {name: tuple(part.shape) for name, part in said.items()} == {
        "logits": (3, count, 2),
        "distances": (3, count, 4),
        "places": (3, count, 2),
    }
    task.loss(said, batch([BOX] * 3, shown=[int(one) for one in there])).backward()
    assert all(parameter.grad is not None for parameter in head.parameters())
    if not all(absent):
        with pytest.raises(ConfigError, match="choose encoder/image=pyramid"):
            head(fused._replace(sequence=sequence._replace(positions=None)))


def test_distances_are_powers_of_what_the_head_says_and_stay_finite() -> None:
    """A step at 0, twice as far at log 2; what a wild step of training says is at most 1,000 steps."""
    head = Detection(PICTURE, hidden_size=8).make_head(4)
    nn.init.zeros_(head.last.weight)
    head.last.bias.data[-4:] = torch.tensor([0.0, math.log(2), -math.log(2), 300.0])
    there = torch.ones(1, 1, dtype=torch.bool)
    tokens = grid(torch.randn(1, 4, 3, 5), there)
    said = head(Fused(torch.randn(1, 4), tokens, {"image": slice(0, 15)}, {}, there))

    torch.testing.assert_close(said["distances"][0, 7], torch.tensor([1.0, 2.0, 0.5, 1000.0]))


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (PICTURE, {"anchor": "video"}, r"`anchor` \(=video\) must name one of image"),
        (DataSpec({"text": SignalSpec("text", "text")}, {"boxes": BOXES}), {}, "no pictures or videos"),
        (PICTURE, {"hidden_size": 12}, "multiple of 8"),
        (DataSpec(VIDEO.signals, {"boxes": BOXES}), {}, r"boxes of 1 frames, `video` is of 2"),
    ],
)
def test_what_does_not_fit_is_refused(spec: DataSpec, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Detection(spec, **options)  # type: ignore[arg-type]


def test_boxes_of_videos_are_read_by_frame() -> None:
    """Rows of another number of frames, and boxes that are of no frame, are refused."""
    reader = BoxesTarget("boxes")
    one = '[[["cat", 0, 0, 1, 1]], []]'
    spec = reader.fit([one, '[[], [["dog", 0, 0, 0.5, 1]]]'])

    assert (spec.frames, spec.classes) == (2, ("cat", "dog"))
    assert reader.encode('[[], [["dog", 0, 0, 0.5, 1]]]').ragged[0].tolist() == [[1, 0, 0, 0.5, 1, 1]]
    assert reader.encode("[[], []]").ragged[0].shape == (0, 6)
    with pytest.raises(ValueError, match="boxes of 3 frames; those of most training rows are of 2"):
        reader.encode("[[], [], []]")
    with pytest.raises(ValueError, match="boxes of a picture; those of most training rows are of 2 frames"):
        reader.encode('[["cat", 0, 0, 1, 1]]')
    assert BoxesTarget("boxes").fit(['[["fox", 0, 0, 1, 1]]', one, one]).classes == ("cat",)

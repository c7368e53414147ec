"""Rows mixed with others of their batch: who with whom, what of them, and what the loss makes of it."""

import math
from dataclasses import replace

import pytest
import torch

from mmtrain.contracts import Batch, DataSpec, Draw, Mix, Mixed, Signal, SignalSpec
from mmtrain.data.mixing import MixedPlan, mixed, partners
from mmtrain.data.plan import share, uniform
from mmtrain.mixture import mixed_loss, mixed_weight
from mmtrain.target import Target, TargetSpec
from mmtrain.tasks.classification import Classification

SPEC = DataSpec(
    {
        "image": SignalSpec("image", "image", shape=(1, 4, 4)),
        "audio": SignalSpec("audio", "audio", length=8, sample_rate=4),
        "text": SignalSpec("text", "text", length=8, vocabulary=("<pad>", "<unknown>", "a")),
    },
    {"label": TargetSpec("label", "class", ("x", "y", "z"), (1, 1, 1), 3)},
)


class Uniform:
    rows = 10

    def __call__(self, *, seed, epoch, batch_size):
        return uniform(range(10), seed=seed, epoch=epoch, batch_size=batch_size)


def plan(**options):
    return MixedPlan(Uniform(), SPEC, **{"cut": False, "alpha": 0.4} | options)(seed=0, epoch=0, batch_size=4)


def batch(value: float, lengths=(8, 4), labels=(0, 1), weight=(1.0, 1.0)) -> Batch:
    """Two rows full of a value; sounds of so many samples."""
    mask = torch.arange(8) < torch.tensor(lengths).unsqueeze(1)
    present = torch.tensor([[length > 0] for length in lengths])
    return Batch(
        signals={
            "image": Signal(torch.full((2, 1, 4, 4), value), present),
            "audio": Signal(torch.full((2, 8), value) * mask, mask),
            "text": Signal(torch.full((2, 8), int(value)), mask),
        },
        targets={"label": Target(torch.tensor(labels), torch.tensor([True, True]))},
        ids=["s0", "s1"],
        keys=torch.tensor([0, 1]),
        weight=torch.tensor(weight),
        rows={"image": None, "audio": None, "text": None},
    )


def test_every_row_is_the_partner_of_one_other_row_of_its_batch():
    for draws in plan():
        rows = [draw.row for draw in draws]
        others = [draw.mix.row for draw in draws]

        assert sorted(others) == sorted(rows)
        assert all(row != other for row, other in zip(rows, others, strict=True))
        assert all(0 <= draw.mix.share <= 0.5 for draw in draws)


def test_partners_are_a_pure_function_of_seed_and_epoch_and_the_draws_stay():
    """Processes take shares of what was paired before, so their number cannot change a pair."""
    assert plan() == plan()
    assert [draw._replace(mix=None) for draws in plan() for draw in draws] == [
        draw for draws in uniform(range(10), seed=0, epoch=0, batch_size=4) for draw in draws
    ]
    assert share(plan()[0], parts=2, part=1)[0].mix == plan()[0][1].mix


def test_a_partner_is_read_with_a_key_of_its_own():
    (draw, alone) = partners([Draw(3, key=7, mix=Mix(5, 0.2)), Draw(4, key=8)])

    assert draw.row == 5
    assert draw.key not in (7, 8)
    assert alone == Draw(4, key=8)


def test_mixup_takes_the_share_of_pictures_and_of_sounds_as_far_as_they_go():
    """A quarter of 5 and three quarters of 1 are 2; the other sound ends after 4 samples; ids stay."""
    draws = [Draw(0, 0, mix=Mix(1, 0.25)), Draw(1, 1, mix=Mix(0, 0.5))]

    made = mixed(batch(1.0), batch(5.0, lengths=(4, 8)), draws, SPEC)

    assert made.signals["image"].values[0].unique().tolist() == [2.0]
    assert made.signals["image"].values[1].unique().tolist() == [3.0]
    assert made.signals["audio"].values.tolist() == [[2.0] * 4 + [0.75] * 4, [3.0] * 4 + [0.0] * 4]
    assert made.signals["text"].values.unique().tolist() == [1]
    assert made.mix.share.tolist() == [0.25, 0.5]


def test_cutmix_puts_a_part_of_the_other_in():
    """A quarter of 4 x 4 pixels is a square of 2 x 2, of 8 samples a stretch of 2."""
    draws = [Draw(0, 3, mix=Mix(1, 0.25, cut=True)), Draw(1, 4, mix=Mix(0, 0.25, cut=True))]

    made = mixed(batch(1.0, lengths=(8, 8)), batch(5.0, lengths=(8, 8)), draws, SPEC)

    picture, sound = made.signals["image"].values[0, 0] == 5, made.signals["audio"].values[0] == 5
    assert (picture.sum(), picture.any(dim=0).sum(), picture.any(dim=1).sum()) == (4, 2, 2)
    assert sound.sum() == 2
    assert (sound[1:] & sound[:-1]).sum() == 1


def test_a_row_or_partner_that_lacks_something_stays_as_it_is():
    """Absent signals, and rows that could not be read; what was given is not changed."""
    own, other = batch(1.0), batch(5.0, lengths=(0, 8), weight=(1.0, 0.0))
    draws = [Draw(0, 0, mix=Mix(1, 0.25)), Draw(1, 1, mix=Mix(0, 0.25))]

    made = mixed(own, other, draws, SPEC)

    assert all(torch.equal(made.signals[name].values, own.signals[name].values) for name in own.signals)
    assert made.mix.share.tolist() == [0.25, 0.0]


def test_the_loss_is_that_of_soft_labels():
    """Cross-entropy against (1 - s) of one class and s of the other, and the weights stay one a row."""
    task = Classification(SPEC)
    targets = {"label": Target(torch.tensor([2, 0]), torch.tensor([True, True]))}
    made = replace(batch(1.0), mix=Mixed(targets, torch.tensor([0.25, 0.5])))
    logits = torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
    soft = torch.tensor([[0.75, 0, 0.25], [0.5, 0.5, 0]])

    assert mixed_loss(task, logits, made).item() == pytest.approx(-(soft * logits.log_softmax(1)).sum().item())
    assert math.isclose(mixed_weight(task, made), 2.0)


def test_without_a_picture_or_sound_there_is_nothing_to_mix():
    text = DataSpec({"text": SPEC.signals["text"]}, SPEC.targets)

    with pytest.raises(ValueError, match="mixes image, video, audio only, and there is text"):
        MixedPlan(Uniform(), text, cut=False, alpha=0.4)

"""Encoders that start where those of an earlier run have ended."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmtrain.api import load
from mmtrain.build import build
from mmtrain.errors import ConfigError
from tests import tiny

IMAGE = ("modalities=[image]", "trainer.epochs=1")


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the picture alone."""
    return tiny.train(tmp_path_factory.mktemp("earlier"), *IMAGE, "fusion=none")


def test_an_encoder_starts_with_the_best_weights_of_the_other_run(earlier: Path, tmp_path: Path):
    """It may be frozen there; the other encoders start as they would have."""
    torch.manual_seed(0)
    plain = build(tiny.config(tmp_path)).model.encoders
    words = (f"tuning.init_from={{image: {earlier}}}", "tuning.freeze={image: all}")
    torch.manual_seed(0)
    found = build(tiny.config(tmp_path, *words)).model.encoders
    theirs = load(earlier).model.encoders["image"].state_dict()

    image = found["image"].state_dict()
    assert [name for name in theirs if not torch.equal(theirs[name], image[name])] == []
    untouched = plain["image"].state_dict()
    assert any(not torch.equal(theirs[name], untouched[name]) for name in theirs)
    assert not any(weight.requires_grad for weight in found["image"].parameters())
    assert all(torch.equal(a, b) for a, b in zip(found["text"].parameters(), plain["text"].parameters(), strict=True))


def test_a_run_needs_the_other_one_at_its_start_only(earlier: Path, tmp_path: Path):
    """What it has learned is in its own checkpoints: they load when the other run is gone."""
    moved = earlier.rename(tmp_path / "other")
    folder = tiny.train(tmp_path, *IMAGE, "fusion=none", f"tuning.init_from={{image: {moved}}}")
    moved.rename(earlier)

    assert load(folder).evaluate("test")["accuracy"] == pytest.approx(load(folder).metrics()["accuracy"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["tuning.init_from={imgae: RUN}"],
            r"^`tuning.init_from.imgae` \(=.*\): expected one of .*Did you mean `image`",
        ),
        (["tuning.init_from={image: nowhere}"], r"^`tuning.init_from.image` \(=nowhere\) is not a run folder"),
        (["tuning.init_from={text: RUN}"], "that run was trained on image, not on text"),
        (["tuning.init_from={image: RUN}", "reader.image.size=12"], "that run prepared image with another shape"),
        (
            ["tuning.init_from={image: RUN}", "encoder.image.channels=[8,8]"],
            "the encoder of that run is another network",
        ),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(earlier: Path, tmp_path: Path, words: list[str], message: str):
    with pytest.raises(ConfigError, match=message):
        build(tiny.config(tmp_path, *[word.replace("RUN", str(earlier)) for word in words]))

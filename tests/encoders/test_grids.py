"""Encoders of fine grids: how many tokens, where they stand, how far a frame sees."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from mmtrain.contracts import Signal, SignalSpec, Tokens
from mmtrain.encoders.backbone_pyramid import BackbonePyramid
from mmtrain.encoders.frame_grids import FrameGrids
from mmtrain.encoders.pyramid import Pyramid
from mmtrain.encoders.torchvision_image import TorchvisionImage
from mmtrain.encoders.vit import ViT

PICTURE = SignalSpec("image", "image", (1, 24, 16))
VIDEO = SignalSpec("video", "video", (1, 8, 8), length=6)
SMALL = partial(Pyramid, channels=(4, 4), stride=4, hidden_size=4)


def test_a_pyramid_gives_a_token_for_every_stride() -> None:
    """24 x 16 pixels at stride 4: six rows of four, the first in the middle of its cell."""
    tokens = Pyramid(PICTURE).eval()(Signal(torch.rand(2, 1, 24, 16), torch.ones(2, 1, dtype=torch.bool)))

    assert tokens.values.shape == (2, 24, 64)
    assert tokens.positions is not None
    torch.testing.assert_close(tokens.positions[0, 0, 1:], torch.tensor([1 / 12, 1 / 8]))


def test_each_token_of_a_pyramid_has_seen_the_whole_picture() -> None:
    """What stands in one corner changes the token of the opposite one, by way of the coarse scales."""
    module = Pyramid(PICTURE, channels=(8, 8, 8, 8), hidden_size=8).eval()
    pictures = torch.rand(1, 1, 24, 16).repeat(2, 1, 1, 1)
    pictures[1, :, 0, 0] += 5
    values = module(Signal(pictures, torch.ones(2, 1, dtype=torch.bool))).values

    assert not torch.allclose(values[0, -1], values[1, -1], atol=1e-6)


def test_a_stride_of_no_scale_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`stride` \(=16\) must be one of 2, 4"):
        Pyramid(PICTURE, channels=(8, 8), stride=16)


def test_a_pyramid_over_a_network_has_its_scales_and_the_tokens_of_its_last_map_have_seen_the_picture() -> None:
    """MobileNetV3 small halves a picture five times; at stride 8, 24 x 16 pixels are three rows of two."""
    module = BackbonePyramid(PICTURE, backbone=TorchvisionImage, stride=8, hidden_size=8).eval()
    pictures = torch.rand(1, 1, 24, 16).repeat(2, 1, 1, 1)
    pictures[1, :, 0, 0] += 5
    tokens = module(Signal(pictures, torch.ones(2, 1, dtype=torch.bool)))

    assert [lateral.in_channels for lateral in module.down.laterals] == [24, 48, 576]
    assert tokens.values.shape == (2, 6, 8)
    assert not torch.allclose(tokens.values[0, -1], tokens.values[1, -1], atol=1e-6)


@pytest.mark.parametrize(
    ("backbone", "stride", "message"),
    [
        (TorchvisionImage, 7, r"`stride` \(=7\) must be one of 2, 4, 8, 16, 32"),
        (partial(TorchvisionImage, name="swin_t"), 8, "swin_t has no scales; choose a convolutional network"),
        (ViT, 8, "`backbone`: ViT does not give its scales; choose torchvision"),
    ],
)
def test_a_network_without_such_a_scale_is_refused(backbone: type, stride: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BackbonePyramid(SignalSpec("image", "image", (3, 32, 32)), backbone=backbone, stride=stride)


@pytest.mark.parametrize("num_layers", [0, 1, 2])
def test_a_frame_sees_as_many_neighbours_as_there_are_layers(num_layers: int) -> None:
    """The first frame of six changes; so do the tokens of the frames that see it, and no others."""
    torch.manual_seed(0)
    module = FrameGrids(VIDEO, frame=SMALL, num_layers=num_layers).eval()
    for layer in module.layers:
        nn.init.normal_(layer.last.weight)
    videos = torch.rand(1, 6, 1, 8, 8).repeat(2, 1, 1, 1, 1)
    videos[1, 0] += 1
    values = module(Signal(videos, torch.ones(2, 6, dtype=torch.bool))).values.view(2, 6, -1)
    changed = (values[0] - values[1]).abs().amax(dim=1) > 1e-6

    assert changed.tolist() == [frame <= num_layers for frame in range(6)]


def test_shorter_videos_are_padded_to_the_full_grid() -> None:
    """Three of six frames: half of the tokens are real, all have a place."""
    tokens = FrameGrids(VIDEO, frame=SMALL).train()(
        Signal(torch.rand(2, 3, 1, 8, 8), torch.ones(2, 3, dtype=torch.bool))
    )

    assert tokens.values.shape == (2, 24, 4)
    assert tokens.mask.sum(dim=1).tolist() == [12, 12]
    assert tokens.positions is not None
    assert bool(tokens.positions[..., 1:].isfinite().all())


def test_frames_need_an_encoder_of_a_grid() -> None:
    class Bare(nn.Module):
        width = 2

        def forward(self, signal: Signal) -> Tokens:
            return Tokens(torch.zeros(len(signal.values), 1, 2), signal.mask)

    module = FrameGrids(VIDEO, frame=lambda spec: Bare())
    with pytest.raises(ValueError, match="choose one of a grid"):
        module(Signal(torch.rand(1, 6, 1, 8, 8), torch.ones(1, 6, dtype=torch.bool)))

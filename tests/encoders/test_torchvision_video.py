"""The networks of torchvision that read videos: their sizes, their weights, how real frames are spread over time."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.video import mc3_18 as theirs

from mmtrain.contracts import Signal, SignalSpec
from mmtrain.encoders.torchvision_video import mc3_18, s3d


def video(side: int = 16, *, channels: int = 3, frames: int = 4) -> SignalSpec:
    return SignalSpec("clip", "video", shape=(channels, side, side), length=frames)


class Watch(nn.Module):
    """In place of a network: keeps what it is given."""

    def forward(self, clips: Tensor) -> Tensor:
        self.clips = clips
        return clips.mean(dim=(2, 3, 4))


def test_it_is_torchvisions_network_without_its_classifier():
    """11,695,440 parameters, less 512 x 400 + 400."""
    assert sum(p.numel() for p in mc3_18(video()).parameters()) == 11_695_440 - 205_200


def test_it_takes_the_weights_of_torchvision(tmp_path: Path):
    """With them, its token is what their classifier reads."""
    torch.manual_seed(0)
    network = theirs().eval()
    torch.save(network.state_dict(), tmp_path / "mc3.pth")
    clips = torch.randn(2, 4, 3, 16, 16)
    ours = mc3_18(video(), weights=str(tmp_path / "mc3.pth")).eval()

    token = ours(Signal(clips, torch.ones(2, 4, dtype=torch.bool))).values[:, 0]

    torch.testing.assert_close(network.fc(token), network(clips.transpose(1, 2)), rtol=1e-4, atol=1e-4)


def test_real_frames_are_spread_evenly_and_padding_is_never_seen():
    """Of two real frames, each fills half of the four; grey becomes RGB."""
    module = mc3_18(video(channels=1))
    module.network = Watch()
    values = torch.tensor([[1.0, 2, 7, 7], [1, 2, 3, 4], [1, 2, 3, 7]]).view(3, 4, 1, 1, 1).expand(-1, -1, 1, 2, 2)
    mask = torch.tensor([[True, True, False, False], [True] * 4, [True, True, True, False]])
    module(Signal(values, mask))

    assert module.network.clips.shape == (3, 3, 4, 2, 2)
    assert module.network.clips[:, 2, :, 0, 0].tolist() == [[1, 1, 2, 2], [1, 2, 3, 4], [1, 1, 2, 3]]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: s3d(video(31)),
            "s3d reads frames of 32 x 32 pixels at least, but those of `clip` are 31 x 31; set `rea",
        ),
        (lambda: mc3_18(video(channels=4)), "reads videos of 1 or 3 channels, but modality `clip` has 4"),
        (
            lambda: mc3_18(video(), weights="KINETICS"),
            r"`encoder.clip.weights`: no file 'KINETICS'; name one, KINETICS400",
        ),
    ],
)
def test_what_it_cannot_read_is_refused(build, message: str):
    with pytest.raises(ValueError, match=message):
        build()

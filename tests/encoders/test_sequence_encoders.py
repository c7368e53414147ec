"""The encoders of stored features and of videos frame by frame."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from mmtrain.contracts import Signal, SignalSpec, Tokens
from mmtrain.encoders.feature_sequence import FeatureSequence
from mmtrain.encoders.frames import Frames
from mmtrain.temporal import TimeGRU, TimeMean

VIDEO = SignalSpec("video", "video", shape=(1, 2, 2), length=3)


class Brightness(nn.Module):
    """An image encoder with batch statistics: one token, the mean of the pixels, and a note of what it saw."""

    width = 1

    def __init__(self, spec: SignalSpec) -> None:
        super().__init__()
        self.spec = spec
        self.norm = nn.BatchNorm1d(1, affine=False)
        self.seen = torch.empty(0)

    def forward(self, signal: Signal) -> Tokens:
        self.seen = signal.values.mean(dim=(1, 2, 3)).unsqueeze(1)  # [N,1]
        return Tokens(self.norm(self.seen).unsqueeze(1), signal.mask)


def videos(*frames: list[float]) -> Signal:
    """Rows of frames of one brightness each, nan behind their end."""
    mask = torch.tensor([[True] * len(row) + [False] * (3 - len(row)) for row in frames])
    values = torch.tensor([row + [torch.nan] * (3 - len(row)) for row in frames])
    return Signal(values.view(-1, 3, 1, 1, 1).expand(-1, -1, 1, 2, 2), mask)


def test_features_of_one_step_and_of_several_give_a_token_a_step():
    one = FeatureSequence(SignalSpec("f", "features", shape=(4,)))
    several = FeatureSequence(SignalSpec("f", "features", shape=(4,), length=9), time=TimeMean)

    assert one(Signal(torch.randn(2, 4), torch.ones(2, 1, dtype=torch.bool))).values.shape == (2, 1, 128)
    assert several(Signal(torch.randn(2, 5, 4), torch.ones(2, 5, dtype=torch.bool))).values.shape == (2, 1, 128)


def test_the_scale_of_features_does_not_matter():
    """LayerNorm without the bias of the projection takes a factor away."""
    module = FeatureSequence(SignalSpec("f", "features", shape=(4,))).eval()
    nn.init.zeros_(module.projection[0].bias)
    values, mask = torch.randn(2, 4) * 100, torch.ones(2, 1, dtype=torch.bool)

    small, large = (module(Signal(values * factor, mask)).values for factor in (1, 1000))

    torch.testing.assert_close(small, large, rtol=1e-4, atol=1e-4)


def test_a_frame_is_seen_as_a_picture_and_gives_a_token():
    module = Frames(VIDEO, frame=Brightness)
    module.eval()
    tokens = module(videos([1, 2, 3], [4]))

    assert module.frame.spec == SignalSpec("video", "video", shape=(1, 2, 2), length=1)
    torch.testing.assert_close(tokens.values[tokens.mask].flatten(), torch.tensor([1.0, 2, 3, 4]), rtol=1e-4, atol=0)


def test_in_training_batch_statistics_are_those_of_real_frames():
    """Padding would pull the mean of 1, 2, 3 and 4 towards 0."""
    module = Frames(VIDEO, frame=Brightness).train()
    module(videos([1, 2, 3], [4]))

    assert module.frame.seen.flatten().tolist() == [1, 2, 3, 4]


def test_frames_are_read_in_order():
    """Played backwards, a video ends in another state."""
    torch.manual_seed(0)
    module = Frames(VIDEO, frame=Brightness, time=partial(TimeGRU, hidden_size=2, bidirectional=False)).eval()

    forwards, backwards = (module(videos(row)).values[0, -1] for row in ([1.0, 2, 3], [3.0, 2, 1]))

    assert module.width == 2
    assert not torch.allclose(forwards, backwards)

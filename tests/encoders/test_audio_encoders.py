"""The encoders of sound: their sizes, what time their tokens stand for, and whether loudness counts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mmtrain.contracts import Signal, SignalSpec
from mmtrain.encoders.conv_gru import ConvGRU
from mmtrain.encoders.log_mel_cnn import LogMelCNN
from mmtrain.encoders.mel_cnn import MelCNN

SOUND = SignalSpec("audio", "audio", length=8000, sample_rate=8000)


def hear(values: Tensor) -> Signal:
    return Signal(values, torch.ones(values.shape, dtype=torch.bool))


def noise(rows: int = 1) -> Tensor:
    return torch.randn(rows, 8000, generator=torch.Generator().manual_seed(0)) * 0.1


def size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_mel_cnn_has_the_parameters_of_its_formula():
    assert size(MelCNN(SOUND)) == (9 * 16 + 16) + (9 * 16 * 32 + 32)


def test_mel_cnn_gives_a_token_every_40_ms():
    """A second has 101 frames, so 26 fours; 40 bands leave 10 for each of 32 channels."""
    tokens = MelCNN(SOUND).eval()(hear(noise()))

    assert tokens.values.shape == (1, 26, 320)
    torch.testing.assert_close(tokens.positions[0, :3, 0], torch.tensor([0.0, 0.04, 0.08]))


def test_mel_cnn_hears_loudness():
    module = MelCNN(SOUND).eval()

    assert module(hear(noise())).values.mean() > 2 * module(hear(noise() / 10)).values.mean()


def test_log_mel_cnn_has_the_parameters_of_its_formula():
    """3x3 filters without bias and two numbers a channel of batch norm."""
    assert size(LogMelCNN(SOUND, channels=(4, 6))) == 9 * (4 + 4 * 6) + 2 * (4 + 6)


def test_log_mel_cnn_gives_a_token_every_80_ms():
    """A second has 101 frames, so 13 eights; 40 bands leave 5 for each of 64 channels."""
    tokens = LogMelCNN(SOUND).eval()(hear(noise()))

    assert tokens.values.shape == (1, 13, 320)
    torch.testing.assert_close(tokens.positions[0, :3, 0], torch.tensor([0.0, 0.08, 0.16]))


def test_log_mel_cnn_is_deaf_to_loudness():
    """Ten times softer, the same sound gives the same tokens, but for the floor under its logarithm."""
    module = LogMelCNN(SOUND).eval()

    torch.testing.assert_close(module(hear(noise())).values, module(hear(noise() / 10)).values, rtol=1e-2, atol=1e-2)


def test_log_mel_cnn_takes_silence():
    assert torch.isfinite(LogMelCNN(SOUND).train()(hear(torch.zeros(2, 8000))).values).all()


def test_log_mel_cnn_learns_the_same_from_a_batch_padded_further():
    """Padding enters neither the statistics of the batch nor the gradient."""
    gradients = []
    for extra in (0, 900):
        torch.manual_seed(0)
        module = LogMelCNN(SOUND, channels=(4, 6)).train()
        mask = torch.arange(8000 + extra).expand(2, -1) < 8000
        tokens = module(Signal(nn.functional.pad(noise(2), (0, extra)), mask))
        (tokens.values * tokens.mask.unsqueeze(-1)).square().sum().backward()
        gradients.append([p.grad for p in module.parameters()])

    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("channels", [(), (16, 0)])
def test_log_mel_cnn_refuses_stages_without_channels(channels: tuple[int, ...]):
    with pytest.raises(ValueError, match="must list one positive number a stage"):
        LogMelCNN(SOUND, channels=channels)


@pytest.mark.parametrize("encoder", [MelCNN, LogMelCNN])
def test_too_many_bands_are_refused(encoder: type[nn.Module]):
    with pytest.raises(ValueError, match="lower `n_mels` or raise `n_fft`"):
        encoder(SOUND, n_mels=300)


@pytest.mark.parametrize(("channels", "stride", "count"), [((4,), 1, 51), ((4,), 2, 26), ((4, 4), 4, 13)])
def test_conv_gru_gives_a_token_every_so_many_frames(channels, stride, count):
    """Half a second has 51 frames 10 ms apart; the tokens stand `stride` of them apart."""
    spec = SignalSpec("audio", "audio", length=4000, sample_rate=8000)
    tokens = ConvGRU(spec, channels=channels, time_stride=stride, hidden_size=3).eval()(
        Signal(torch.zeros(1, 4000), torch.ones(1, 4000).bool())
    )

    assert tokens.values.shape == (1, count, 6)
    assert tokens.positions[0, 1, 0].item() == pytest.approx(stride * 0.01)


@pytest.mark.parametrize(("channels", "stride", "legal"), [((4, 4), 3, "1, 2, 4"), ((4,), 4, "1, 2")])
def test_conv_gru_halves_time_once_a_convolution_at_most(channels, stride, legal):
    with pytest.raises(
        ValueError, match=rf"`time_stride` \(={stride}\) with {len(channels)} convolutions must be {legal}"
    ):
        ConvGRU(SignalSpec("audio", "audio", length=4000, sample_rate=8000), channels=channels, time_stride=stride)

"""Masks over bands and frames: in training only, within the real frames, as wide as they may be."""

import pytest
import torch

from mmtrain.contracts import SignalSpec
from mmtrain.encoders.log_mel_cnn import LogMelCNN
from mmtrain.encoders.mel_cnn import MelCNN
from mmtrain.specaugment import SpecAugment
from tests.components import make_signal


def covered(batch: int = 500, *, frames: int = 20, real: int = 20, bands: int = 8, **options: float) -> torch.Tensor:
    """Where a mask lies in spectrograms of ones: [B,L,F]."""
    settings = {"band_masks": 0, "band_share": 0.25, "time_masks": 0, "time_share": 0.1}
    mask = torch.arange(frames).expand(batch, -1) < real
    torch.manual_seed(0)
    return SpecAugment(**settings | options).train()(torch.ones(batch, frames, bands), mask) == 0


def test_a_band_mask_covers_neighbouring_bands_up_to_its_share_in_all_frames():
    """A quarter of 8 bands: 0, 1 or 2, each about as often; every band can be hit."""
    lost = covered(band_masks=1)

    widths = lost[:, 0].sum(dim=1)
    assert torch.equal(lost, lost[:, :1].expand_as(lost))
    assert all(130 < count < 200 for count in torch.bincount(widths, minlength=3).tolist())
    assert lost.any(dim=0).all()
    assert (lost[:, 0, 1:] & lost[:, 0, :-1]).sum() == (widths == 2).sum()


def test_time_masks_fall_on_real_frames_up_to_their_share_of_them():
    """A fifth of 10 real frames of 20: at most 2 a mask, 4 by two of them; never the padding."""
    lost = covered(real=10, time_masks=2, time_share=0.2)[:, :, 0]

    assert lost.sum(dim=1).max() == 4
    assert not lost[:, 10:].any()
    assert lost[:, :10].any(dim=0).all()


def test_no_mask_changes_nothing():
    assert not covered().any()


@pytest.mark.parametrize("encoder", [LogMelCNN, MelCNN])
def test_encoders_mask_in_training_only(encoder):
    """Two steps of training hear other parts; evaluation hears all, as without masks."""
    spec = SignalSpec("audio", "audio", length=1003, sample_rate=4000)
    signal = make_signal(spec, [1003, 800])
    torch.manual_seed(0)
    masked = encoder(spec, band_masks=2, time_masks=2)
    torch.manual_seed(0)
    plain = encoder(spec)

    assert torch.equal(masked.eval()(signal).values, plain.eval()(signal).values)
    assert not torch.equal(masked.train()(signal).values, masked.train()(signal).values)

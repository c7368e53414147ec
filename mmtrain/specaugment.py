"""SpecAugment: masks over bands and over frames of a spectrogram, drawn anew in every training step.

After Park et al. 2019, "SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition",
https://arxiv.org/abs/1904.08779: the width of a mask is drawn from 0 to F bands or T frames, its start from where it
fits. Differs: F and T are shares, of the bands and of the real frames of each sound, as in Park et al. 2020 for time,
https://arxiv.org/abs/1912.05533; time is not warped, which the paper found to matter least.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SpecAugment(nn.Module):
    """Sets masked parts of a spectrogram to 0, in training only; nothing in it is trained.

    Args:
        band_masks: Masks over bands a sound, m_F in the paper.
        band_share: Greatest share of the bands that one covers, F.
        time_masks: Masks over frames, m_T.
        time_share: Greatest share of the real frames that one covers, T.
    """

    def __init__(self, *, band_masks: int, band_share: float, time_masks: int, time_share: float) -> None:
        super().__init__()
        self.band_masks, self.band_share = band_masks, band_share
        self.time_masks, self.time_share = time_masks, time_share

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """Spectrograms [B,L,F] and the mask of their frames [B,L] -> [B,L,F]."""
        if not self.training:
            return values
        frames, bands = mask.sum(dim=1), torch.full_like(mask[:, 0], values.shape[2], dtype=torch.int64)  # [B]
        covered = _covered(frames, values.shape[1], self.time_masks, self.time_share).unsqueeze(2)  # [B,L,1]
        covered = covered | _covered(bands, values.shape[2], self.band_masks, self.band_share).unsqueeze(1)  # [B,L,F]
        return values.masked_fill(covered, 0)


def _covered(sizes: Tensor, places: int, count: int, share: float) -> Tensor:
    """What `count` masks cover of the first `sizes` [B] of so many places: [B,places] bool."""
    draws = torch.rand(2, len(sizes), count, device=sizes.device)
    size = sizes.unsqueeze(1)  # [B,1]
    widths = (draws[0] * (size * share + 1)).floor()  # [B,count], whole numbers from 0 to share * size
    starts = (draws[1] * (size - widths + 1)).floor().unsqueeze(2)  # [B,count,1]
    place = torch.arange(places, device=sizes.device)
    return ((place >= starts) & (place < starts + widths.unsqueeze(2))).any(dim=1)

"""Pictures made worse: noise, specks, blur, something in front, fading. Frames of a video are changed alike.

Kinds of corruption after Hendrycks and Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions
and Perturbations", https://arxiv.org/abs/1903.12261. Differs: a level from 0 to 1 in place of five steps, and one
picture meets the same noise at every level, so that it can only get worse.

All take and give pictures [...,C,H,W] uint8; the key decides what is drawn.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmtrain import seeding


def gaussian(values: Tensor, level: float, key: int) -> Tensor:
    """Adds normal noise to every value; its deviation is `level` of the range from black to white."""
    noise = torch.randn(values.shape, generator=seeding.generator(key))
    return _rounded(values + 255 * level * noise)


def salt(values: Tensor, level: float, key: int) -> Tensor:
    """Turns a share `level` of the pixels black or white, all channels together."""
    pixels = (*values.shape[:-3], 1, *values.shape[-2:])
    chosen, colour = torch.rand((2, *pixels), generator=seeding.generator(key))  # [...,1,H,W] each
    return torch.where(chosen < level, 255 * (colour < 0.5).to(torch.uint8), values)


def blur(values: Tensor, level: float, key: int) -> Tensor:
    """Blurs by a Gaussian, at level 1 with a deviation of a quarter of the shorter side; edges are mirrored.

    Computed on frequencies: each is damped by exp(-(deviation * frequency)^2 / 2), the more the stronger the blur.
    """
    height, width = values.shape[-2:]
    deviation = level * min(height, width) / 4
    mirrored = torch.cat([values, values.flip(-2)], dim=-2).float()  # [...,C,2H,W]
    mirrored = torch.cat([mirrored, mirrored.flip(-1)], dim=-1)  # [...,C,2H,2W]
    rows, columns = 2 * torch.pi * torch.fft.fftfreq(2 * height), 2 * torch.pi * torch.fft.rfftfreq(2 * width)
    damping = torch.exp(-(deviation**2) * (rows.square().unsqueeze(1) + columns.square()) / 2)  # [2H,W+1]
    blurred = torch.fft.irfft2(torch.fft.rfft2(mirrored) * damping, s=mirrored.shape[-2:])
    return _rounded(blurred[..., :height, :width])


def occlusion(values: Tensor, level: float, key: int) -> Tensor:
    """Covers a share `level` of the picture by a grey rectangle of its own proportions, at a place drawn by the key."""
    height, width = values.shape[-2:]
    place = torch.rand(2, generator=seeding.generator(key)).tolist()
    tall, wide = round(level**0.5 * height), round(level**0.5 * width)
    # As it grows, its top moves up by less than its height grows: a larger one covers all of a smaller one.
    top, left = round(place[0] * (height - tall)), round(place[1] * (width - wide))
    covered = values.clone()
    covered[..., top : top + tall, left : left + wide] = 128
    return covered


def contrast(values: Tensor, level: float, key: int) -> Tensor:
    """Draws every value towards the mean of its picture, by a share `level` of the way."""
    mean = values.float().mean(dim=(-3, -2, -1), keepdim=True)
    return _rounded(values + level * (mean - values))


def _rounded(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)

"""Boxes told by a grid of tokens: which token answers for which box, what it says, what is left after suppression.

After FCOS (Tian et al. 2019, https://arxiv.org/abs/1904.01355): a token near the middle of a box says how far its four
edges are. Differs: one scale; a box that holds no token near its middle is given the token that is nearest to it.
Corners are left, top, right, bottom in 0..1 of the picture.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

RADIUS = 1.5
"""Of the middle of a box, in steps of the grid, as in FCOS."""


class Assigned(NamedTuple):
    """What each token of a picture shall say."""

    positive: Tensor  # [B,L] bool: it answers for a box
    classes: Tensor  # [B,L] int64, 0 elsewhere
    corners: Tensor  # [B,L,4]


def assign(boxes: list[Tensor], places: Tensor, step: Tensor) -> Assigned:
    """Gives tokens their boxes; where several would do, the smallest.

    Args:
        boxes: Of each row, [n,5]: class and corners.
        places: y, x of the tokens in 0..1, [B,L,2].
        step: y, x between neighbouring tokens, [2].
    """
    padded = pad_sequence(boxes, batch_first=True, padding_value=-1.0)  # [B,n,5]
    if not padded.shape[1]:
        shape = places.shape[:2]
        nothing = torch.zeros(shape, dtype=torch.bool, device=places.device)
        return Assigned(nothing, nothing.long(), places.new_zeros(*shape, 4))
    real = padded[..., 0] >= 0  # [B,n]
    left, top, right, bottom = padded[..., 1:].unsqueeze(1).unbind(-1)  # [B,1,n] each
    y, x = places.unsqueeze(2).unbind(-1)  # [B,L,1] each
    inside = (x > left) & (x < right) & (y > top) & (y < bottom)  # [B,L,n]
    far_y, far_x = ((y - (top + bottom) / 2) / step[0]).abs(), ((x - (left + right) / 2) / step[1]).abs()
    distance = torch.maximum(far_y, far_x)
    near = inside & (distance < RADIUS)
    closest = torch.zeros_like(near).scatter(1, distance.argmin(dim=1, keepdim=True), True)
    near = torch.where(near.any(dim=1, keepdim=True), near, closest) & real.unsqueeze(1)
    area = ((right - left) * (bottom - top)).expand_as(near)
    index = torch.where(near, area, torch.inf).argmin(dim=2)  # [B,L]
    mine = padded.gather(1, index.unsqueeze(-1).expand(-1, -1, 5))  # [B,L,5]
    positive = near.any(dim=2)
    return Assigned(positive, torch.where(positive, mine[..., 0], 0).long(), mine[..., 1:])


def corners_of(distances: Tensor, places: Tensor, step: Tensor) -> Tensor:
    """Boxes from distances left, top, right, bottom in steps of the grid: [B,L,4], [B,L,2], [2] -> [B,L,4]."""
    size = step.flip(0).repeat(2)  # x, y, x, y
    middle = places.flip(-1).repeat(1, 1, 2)  # [B,L,4]
    sign = distances.new_tensor([-1.0, -1.0, 1.0, 1.0])
    return middle + sign * distances * size


def kept(scores: Tensor, corners: Tensor, *, threshold: float, overlap: float, most: int) -> Tensor:
    """The boxes of one picture after suppression within each class, the surest first.

    Args:
        scores: Probabilities [L,K].
        corners: [L,4].
        threshold: Of the scores.
        overlap: Of two boxes of a class that overlap more (intersection over union), the less sure one goes.
        most: Boxes that may be left.

    Returns:
        [n,6]: class, corners, score.
    """
    from torchvision.ops import batched_nms

    token, number = (scores > threshold).nonzero(as_tuple=True)
    sure, boxes = scores[token, number], corners[token].clamp(0, 1)  # [n], [n,4]
    real = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    sure, boxes, number = sure[real], boxes[real], number[real]
    first = batched_nms(boxes, sure, number, overlap)[:most]
    return torch.cat([number[first].unsqueeze(1).to(boxes), boxes[first], sure[first].unsqueeze(1)], dim=1)


class Overlap(NamedTuple):
    """How far pairs of boxes cover each other."""

    iou: Tensor  # intersection over union, 0 to 1
    giou: Tensor  # less the share of the box around both that neither covers; -1 to 1


def overlap(one: Tensor, other: Tensor) -> Overlap:
    """Of boxes [...,4] with those of the same places in `other`; gradients stay finite for boxes of no area."""
    least, most = torch.minimum(one, other), torch.maximum(one, other)
    around = (most[..., 2:] - least[..., :2]).clamp(min=0).prod(dim=-1)
    shared = (least[..., 2:] - most[..., :2]).clamp(min=0).prod(dim=-1)
    union = _area(one) + _area(other) - shared
    iou = shared / union.clamp(min=1e-9)
    return Overlap(iou, iou - (around - union) / around.clamp(min=1e-9))


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1)

"""Pictures: cut, moved, mirrored, recoloured; by torchvision's transforms.

TrivialAugment (Müller and Hutter 2021, https://arxiv.org/abs/2103.10158) draws one operation of random strength a
picture, RandAugment (Cubuk et al. 2019, https://arxiv.org/abs/1909.13719) `num_ops` of a fixed one, random erasing
(Zhong et al. 2017, https://arxiv.org/abs/1708.04896) blackens a rectangle. Several pictures of one sample, such as the
frames of a clip, are all changed in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from mmtrain import seeding
from mmtrain.contracts import Range, SignalSpec

Share = Annotated[float, Range(0, 1)]


class ImageAugment:
    """Changes pictures [...,C,H,W] uint8, RGB or grey, and keeps their size; in the order of the arguments.

    Args:
        spec: A modality of pictures.
        crop: Least share of the area that a random cut-out keeps before it is enlarged again; 1: the whole picture.
        shift: Share of each side by which the picture may be moved; the edge fills the gap.
        flip: Probability of mirroring left and right.
        brightness: Greatest relative change, to both sides.
        contrast: Likewise.
        saturation: Likewise; without effect on grey.
        hue: Greatest turn of the colour circle, 0.5: half of it; without effect on grey.
        policy: `trivial` for TrivialAugment, `rand` for RandAugment; None: neither.
        num_ops: Operations a picture, of RandAugment only.
        magnitude: Their strength, of RandAugment only.
        erase: Probability of blackening a rectangle of 2 to 33 % of the area.

    Raises:
        ValueError: The modality is none of pictures.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        crop: Annotated[float, Range(0, 1, above=True)] = 1.0,
        shift: Annotated[float, Range(0, 0.5)] = 0.125,
        flip: Share = 0.5,
        brightness: Share = 0.0,
        contrast: Share = 0.0,
        saturation: Share = 0.0,
        hue: Annotated[float, Range(0, 0.5)] = 0.0,
        policy: Literal["trivial", "rand"] | None = None,
        num_ops: Annotated[int, Range(1, 16)] = 2,
        magnitude: Annotated[int, Range(0, 30)] = 9,
        erase: Share = 0.0,
    ) -> None:
        if len(spec.shape) != 3 or spec.shape[0] not in (1, 3):
            raise ValueError(f"changes pictures, but modality `{spec.name}` is {spec.kind} of shape {list(spec.shape)}")
        from torchvision.transforms import v2

        height, width = self._size = spec.shape[1:]
        margin = [round(shift * width), round(shift * height)]  # left and right, top and bottom

        def moves(gap: str) -> list[nn.Module]:
            steps: list[tuple[bool, Callable[[], nn.Module]]] = [
                (crop < 1, lambda: v2.RandomResizedCrop((height, width), scale=(crop, 1), antialias=True)),
                (any(margin), lambda: v2.RandomCrop((height, width), padding=margin, padding_mode=gap)),
                (flip > 0, lambda: v2.RandomHorizontalFlip(flip)),
            ]
            return [make() for wanted, make in steps if wanted]

        others = [
            (any((brightness, contrast, saturation, hue)),
             lambda: v2.ColorJitter(brightness, contrast, saturation, hue)),
            (policy == "trivial", v2.TrivialAugmentWide),
            (policy == "rand", lambda: v2.RandAugment(num_ops, magnitude)),
            (erase > 0, lambda: v2.RandomErasing(erase)),
        ]  # fmt: skip
        self._steps = [*moves("edge"), *(make() for wanted, make in others if wanted)]
        self._moves = moves("constant")  # the same for boxes, which have no edge to repeat
        self._policy = policy

    def __call__(self, values: Tensor, key: int) -> Tensor:
        """Pictures of the same shape; torchvision knows the global generators only, so they are lent to it."""
        with seeding.seeded(key, "image"):
            for step in self._steps:
                values = step(values)
        return values

    def moved(self, boxes: Tensor, key: int) -> Tensor:
        """Boxes as the picture of that key shows them; cut at its edges, and gone where less than a pixel is left.

        Raises:
            ValueError: With a `policy`, whose operations boxes cannot follow.
        """
        if self._policy is not None:
            raise ValueError(f"`policy` (={self._policy}) bends pictures, and boxes cannot follow; set it to null")
        from torchvision.tv_tensors import BoundingBoxes

        height, width = self._size
        pixels = boxes.new_tensor([width, height, width, height])
        corners: Tensor = BoundingBoxes(boxes[:, 1:5] * pixels, format="XYXY", canvas_size=(height, width))
        with seeding.seeded(key, "image"):  # draws what was drawn for the picture: these steps are the first
            for step in self._moves:
                corners = step(corners)
        plain = corners.as_subclass(Tensor)
        left = ((plain[:, 2:] - plain[:, :2]) >= 1).all(dim=1)
        return torch.cat([boxes[:, :1], plain / pixels, boxes[:, 5:]], dim=1)[left]

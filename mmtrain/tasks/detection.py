"""Detection: where in a picture, or in each frame of a video, something is, and what."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmtrain.box_head import BoxHead
from mmtrain.boxes import assign, corners_of, kept, overlap
from mmtrain.contracts import Batch, DataSpec, Outputs, Range, Results, Rows
from mmtrain.precision import average_precision

_BOX_WEIGHT = 1.0  # of the loss of boxes against those of objects and classes


class Detection:
    """Any number of boxes of K classes in a picture or in each frame of a video.

    A dense head on the tokens of the modality: each says which class is there, or nothing, by one softmax in which the
    logit of nothing is 0, and how far the edges of its box are (see `mmtrain.boxes`). The loss has three terms, summed
    over the tokens and divided by the number of true boxes. For p, the probability that there is something, the quality
    focal loss -|q - p|^gamma (q log p + (1 - q) log(1 - p)), where q is the overlap of the token's box with the true
    one and 0 for a token without one (Li et al. 2020, https://arxiv.org/abs/2006.04388). For tokens of a true box, the
    cross entropy of its class among the classes, and 1 - GIoU of the box (Rezatofighi et al. 2019,
    https://arxiv.org/abs/1902.09630).

    Other modalities may assist: the fused vector is added to every token, by a layer that starts at 0.

    Differs: Li et al. have the quality focal loss for each class by itself. It rests for long where all classes are as
    likely as they are frequent: in 300 steps of 16 pictures, five handwritten digits were not told apart, AP50 .30;
    with the cross entropy it was .47. gamma is smaller than their 2, for few steps on little data.

    Args:
        spec: Facts about the data.
        target: The column of boxes; None: the only target that the data has.
        anchor: The modality in which the boxes are; None: the only one of pictures or videos.
        hidden_size: Channels of the head, a multiple of 8.
        num_layers: 3x3 convolutions of the head before its last layer.
        classes_from: `layer`: the last layer has an output a class. `names`: it is compared with the words of the
            classes, so that other names of these words can be looked for later; see `mmtrain.class_names`.
        gamma: How fast tokens that are nearly right lose weight.
        threshold: Boxes that are less likely are not given.
        nms: Of two boxes of a class that overlap by more than this share, the less likely one goes.
        max_boxes: The most boxes in a picture.

    Raises:
        ValueError: `anchor` is no modality of pictures or videos, there are several, or the boxes are of another number
            of frames than its videos.
    """

    target_kind = "boxes"
    metric = "ap50"
    higher_is_better = True

    def __init__(
        self,
        spec: DataSpec,
        *,
        target: str | None = None,
        anchor: str | None = None,
        hidden_size: Annotated[int, Range(8)] = 64,
        num_layers: Annotated[int, Range(0, 8)] = 2,
        classes_from: Literal["layer", "names"] = "layer",
        gamma: Annotated[float, Range(0, 10)] = 1.0,
        threshold: Annotated[float, Range(0, 1)] = 0.05,
        nms: Annotated[float, Range(0, 1)] = 0.5,
        max_boxes: Annotated[int, Range(1, 1000)] = 100,
    ) -> None:
        facts = spec.target(target)
        self.target, self.targets, self.classes = facts.name, (facts.name,), facts.classes
        seen = [name for name, signal in spec.signals.items() if len(signal.shape) == 3]
        if (anchor is None and len(seen) != 1) or (anchor is not None and anchor not in seen):
            raise ValueError(
                f"`anchor` (={anchor or 'null'}) must name one of {', '.join(seen) or 'no pictures or videos'}"
            )
        self.anchor = anchor or seen[0]
        if hidden_size % 8:
            raise ValueError(f"`hidden_size` (={hidden_size}) must be a multiple of 8")
        signal = spec.signals[self.anchor]
        self.frames = signal.length
        if max(1, facts.frames) != self.frames:
            raise ValueError(
                f"`{self.target}` has boxes of {max(1, facts.frames)} frames, `{self.anchor}` is of {self.frames}; set "
                f"reader.{self.anchor}.num_frames={facts.frames}"
            )
        self.height, self.width = signal.shape[1:]
        self.by_name = classes_from == "names"
        self.hidden_size, self.num_layers, self.gamma = hidden_size, num_layers, gamma
        self.threshold, self.nms, self.max_boxes = threshold, nms, max_boxes

    def make_head(self, width: int) -> nn.Module:
        """`logits` [B,F*L,K] and `distances` [B,F*L,4] of the tokens of each frame, with `places` [B,F*L,2]."""
        return BoxHead(
            self.anchor,
            width,
            self.classes,
            self.frames,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            names=self.by_name,
        )

    def ask(self, head: nn.Module, names: Sequence[str]) -> None:
        """Makes these the classes that the head looks for.

        Raises:
            ValueError: The classes of this run are no names, or the names are not made of words of its classes.
        """
        if not isinstance(head, BoxHead) or head.names is None:
            raise ValueError("this run knows its classes by number; train with `task.classes_from=names`")
        head.names.ask(names)
        self.classes = tuple(names)

    def weight(self, batch: Batch) -> float:
        """The true boxes of the rows that count, at least 1 a row."""
        boxes = batch.targets[self.target].ragged
        counts = torch.tensor([max(1, len(row)) for row in boxes], device=batch.weight.device)
        return float((counts * self._row_weights(batch)).sum())

    def _row_weights(self, batch: Batch) -> Tensor:
        """0 where a row has no boxes to learn from, or no picture to find them in."""
        target = batch.targets[self.target]
        return target.mask * batch.signals[self.anchor].mask.any(dim=1) * batch.weight  # [B]

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Weighted sum over the rows of the losses of their tokens; a scalar."""
        logits, corners, places, step = self._unpacked(outputs)
        boxes = [frame for row in batch.targets[self.target].ragged for frame in self._by_frame(row)]
        given = assign(boxes, places, step)
        covered = overlap(corners, given.corners)
        quality = covered.iou.detach().clamp(0, 1) * given.positive
        something = logits.logsumexp(dim=-1)  # [B*F,L]: the logit of its probability, as that of nothing is 0
        entropy = F.binary_cross_entropy_with_logits(something, quality, reduction="none")
        objects = (quality - something.sigmoid()).abs() ** self.gamma * entropy  # [B*F,L]
        classes = F.cross_entropy(logits.transpose(1, 2), given.classes, reduction="none")  # [B*F,L]
        boxed = torch.where(given.positive, classes + _BOX_WEIGHT * (1 - covered.giou), 0)
        losses = (objects + boxed).sum(dim=1).view(-1, self.frames)  # [B,F]
        losses = torch.where(self._shown(batch), losses, 0).sum(dim=1)
        weights = self._row_weights(batch)
        return torch.where(weights > 0, losses * weights, 0).sum()

    def _shown(self, batch: Batch) -> Tensor:
        """Which frames are there: [B,F]."""
        mask = batch.signals[self.anchor].mask
        return F.pad(mask, (0, self.frames - mask.shape[1]))

    def _by_frame(self, boxes: Tensor) -> list[Tensor]:
        """Boxes [n,5] of a picture, or [n,6] with the frame, as one [m,5] a frame."""
        if boxes.shape[1] == 5:
            return [boxes] + [boxes[:0]] * (self.frames - 1)
        return [boxes[boxes[:, 5] == frame, :5] for frame in range(self.frames)]

    def _unpacked(self, outputs: Outputs) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits [B*F,L,K], corners [B*F,L,4], places [B*F,L,2] and the step of the grid [2]."""
        given = cast(dict[str, Tensor], outputs)
        logits, distances, places = (
            part.float().reshape(len(part) * self.frames, -1, part.shape[-1])
            for part in (given["logits"], given["distances"], given["places"])
        )
        step = 2 * places[0, 0]  # the first token stands half a step from the edges
        return logits, corners_of(distances, places, step), places, step

    def collect(self, outputs: Outputs, batch: Batch) -> Rows:
        """For each row its boxes [n,7]: class, corners, score, frame."""
        logits, corners, _, _ = self._unpacked(outputs)
        scores, shown = F.pad(logits, (0, 1)).softmax(dim=-1)[..., :-1], self._shown(batch).flatten()
        found: list[object] = []
        for row in range(len(batch)):
            frames = []
            for frame in range(self.frames):
                at = row * self.frames + frame
                boxes = kept(scores[at], corners[at], threshold=self.threshold, overlap=self.nms, most=self.max_boxes)
                boxes = boxes if shown[at] else boxes[:0]
                frames.append(torch.cat([boxes, torch.full_like(boxes[:, :1], frame)], dim=1))
            found.append(torch.cat(frames).cpu())
        return found

    def boxes(self, results: Results) -> list[Tensor]:
        """Of each row [n,7]: class, corners, score, frame."""
        return cast(list[Tensor], results.outputs)

    def metrics(self, results: Results) -> dict[str, float]:
        """COCO's AP (the mean over overlaps of .50 to .95), AP50 and AP75, and the AP50 of each class."""
        target = results.targets[self.target]
        truth, found = [], []
        for has, boxes, said in zip(target.mask.tolist(), target.ragged, self.boxes(results), strict=True):
            if has:
                truth += self._by_frame(boxes)
                found += [said[said[:, 6] == frame, :6] for frame in range(self.frames)]
        return average_precision(truth, found, self.classes, size=(self.height, self.width))

    def table(self, results: Results) -> dict[str, list[str] | list[float]]:
        """The boxes as JSON, written as in the target column with the score as a sixth entry, and their number."""
        rows = cast(list[Tensor], results.outputs)
        return {"prediction": [self._written(row) for row in rows], "boxes": [float(len(row)) for row in rows]}

    def _written(self, boxes: Tensor) -> str:
        frames: list[list[list[str | float]]] = [[] for _ in range(self.frames)]
        for number, *numbers, frame in boxes.tolist():
            frames[int(frame)].append([self.classes[int(number)], *(round(value, 4) for value in numbers)])
        return json.dumps(frames if self.frames > 1 else frames[0], ensure_ascii=False)

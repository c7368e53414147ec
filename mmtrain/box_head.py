"""The head of detection: what each token of a grid says of a box around it, and of what is in it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from mmtrain.class_names import ClassNames
from mmtrain.contracts import Fused, Outputs
from mmtrain.errors import ConfigError

_FAR = math.log(1000)  # steps of a grid, more than any has: one wild step of training gives no infinite box


class BoxHead(nn.Module):
    """3x3 convolutions over the grid of each frame, then one 1x1 that gives logits and distances.

    A distance is e to the power of what the 1x1 gives, as in FCOS (Tian et al. 2019, https://arxiv.org/abs/1904.01355):
    large boxes and small ones move by the same share.

    Args:
        anchor: The modality in which the boxes are.
        width: D of its tokens.
        classes: Those of the training rows.
        frames: Those of a sample.
        hidden_size: Channels, a multiple of 8.
        num_layers: 3x3 convolutions.
        names: What the 1x1 gives of classes is compared with their names.

    Raises:
        ValueError: Two classes have the same words, and `names` is set.
    """

    def __init__(
        self,
        anchor: str,
        width: int,
        classes: Sequence[str],
        frames: int,
        *,
        hidden_size: int,
        num_layers: int,
        names: bool,
    ) -> None:
        super().__init__()
        self.anchor, self.frames = anchor, frames
        self.context = nn.Linear(width, width)
        nn.init.zeros_(self.context.weight)
        nn.init.zeros_(self.context.bias)
        layers: list[nn.Module] = []
        for number in range(num_layers):
            inputs = hidden_size if number else width
            layers += [
                nn.Conv2d(inputs, hidden_size, 3, padding=1),
                nn.GroupNorm(hidden_size // 8, hidden_size),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers)
        channels = hidden_size if num_layers else width
        self.answers = channels + 1 if names else len(classes)  # for names: what is there, and a shift of all classes
        self.last = nn.Conv2d(channels, self.answers + 4, 1)
        nn.init.normal_(self.last.weight, std=0.01)
        # At first there is something with a probability of .01: the many tokens of nothing would drown the others.
        rare = math.log(0.01 / len(classes))
        self.last.bias = nn.Parameter(torch.tensor([rare] * self.answers + [0.0] * 4))
        self.names = ClassNames(classes, channels) if names else None
        if names:
            nn.init.normal_(self.last.weight[:channels], std=channels**-0.5)
            nn.init.zeros_(self.last.bias[:channels])

    def forward(self, fused: Fused) -> Outputs:
        """Returns `logits` [B,F*L,K], `distances` [B,F*L,4] in steps of the grid, and `places` [B,F*L,2].

        Raises:
            ConfigError: The tokens have no place in the picture.
        """
        span, positions = fused.spans[self.anchor], fused.sequence.positions
        values, mask = fused.sequence.values[:, span], fused.sequence.mask[:, span]
        context = self.context(fused.pooled).unsqueeze(1)  # [B,1,D]
        values = torch.where(mask.unsqueeze(-1), values + context, 0)  # [B,F*L,D]
        if not bool(mask.any()):  # no row has the modality, and its encoder was not asked
            places, columns = values.new_full((self.frames, 2), 0.5), 1
            values = values[:, :1].expand(-1, self.frames, -1)
        else:
            # Of rows that lack the modality they may be 0; all rows share one grid.
            places = torch.full((1, 2), torch.nan) if positions is None else positions[:, span, 1:].amax(dim=0)
            if bool(places.isnan().any()) or len(places) < 2 * self.frames:
                raise ConfigError(
                    f"`task`: boxes need tokens with a place in the picture, and those of `{self.anchor}` have none; "
                    "choose encoder/image=pyramid or encoder/video=grids, and a fusion that keeps tokens."
                )
            columns = int((places[: len(places) // self.frames, 0] == places[0, 0]).sum())
        rows = len(places) // self.frames // columns  # h
        maps = values.reshape(-1, rows, columns, values.shape[-1]).permute(0, 3, 1, 2)  # [B*F,D,h,w]
        maps = self.last(self.layers(maps)).flatten(2).transpose(1, 2)  # [B*F,L,K+4]
        said = maps.reshape(len(values), -1, self.answers + 4)  # [B,F*L,K+4]
        logits, edges = said.split([self.answers, 4], dim=-1)
        if self.names is not None:
            logits = self.names(logits[..., :-1], logits[..., -1:])  # [B,F*L,K]
        spread = places.detach().expand(len(values), -1, -1)
        return {"logits": logits, "distances": edges.float().clamp(max=_FAR).exp(), "places": spread}

"""Vision Transformer: a picture in patches, each a token that has read all others.

After Dosovitskiy et al. 2020, "An Image is Worth 16x16 Words", https://arxiv.org/abs/2010.11929: a linear map of each
patch, learned positions, blocks of attention normalised before each part. Differs: there is no class token, since the
fusion pools the patches itself; and a picture that the patch does not divide is filled up with zeros at its far ends.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from mmtrain.blocks import AttentionBlock, require_heads
from mmtrain.contracts import Range, Signal, SignalSpec, Tokens
from mmtrain.layers import grid, picture_shape, zeroed


class ViT(nn.Module):
    """Turns a picture into one token a patch.

    Args:
        spec: A picture modality.
        patch: Side of a patch, pixels.
        hidden_size: D of the tokens; a multiple of `num_heads`.
        num_layers: Blocks of attention and feed-forward.
        num_heads: Attention heads.
        dropout: In every block.

    Raises:
        ValueError: The modality holds no pictures, or `num_heads` does not divide `hidden_size`.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        patch: Annotated[int, Range(1)] = 8,
        hidden_size: Annotated[int, Range(1)] = 128,
        num_layers: Annotated[int, Range(1)] = 4,
        num_heads: Annotated[int, Range(1)] = 4,
        dropout: Annotated[float, Range(0, 1)] = 0.1,
    ) -> None:
        super().__init__()
        channels, height, width = picture_shape(spec)
        require_heads(hidden_size, num_heads, name="hidden_size")
        self.width = hidden_size
        self.fill = (0, -width % patch, 0, -height % patch)  # left, right, above, below
        self.patches = nn.Conv2d(channels, hidden_size, patch, patch)
        places = -(-height // patch), -(-width // patch)
        self.positions = nn.Parameter(torch.randn(1, hidden_size, *places) * 0.02)
        self.blocks = nn.ModuleList(AttentionBlock(hidden_size, num_heads, dropout=dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, signal: Signal) -> Tokens:
        """Pictures [B,C,H,W] -> [B,h*w,hidden_size]."""
        maps: Tensor = self.patches(pad(zeroed(signal), self.fill)) + self.positions  # [B,D,h,w]
        values, mask, positions = grid(maps, signal.mask)
        for block in self.blocks:
            values = block(values, torch.ones_like(mask))  # of an absent picture all patches are zeros
        return Tokens(self.norm(values), mask, positions)

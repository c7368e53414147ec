"""Attention over tokens of several modalities, some of them absent: what the fusions of tokens are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmtrain.contracts import Tokens


def require_heads(width: int, num_heads: int, *, name: str = "width") -> None:
    """Refuses a number of heads that does not divide the width.

    Raises:
        ValueError: Naming both, and the nearest smaller number that does.
    """
    if width % num_heads:
        nearest = max(n for n in range(1, num_heads) if width % n == 0)
        raise ValueError(f"`num_heads` (={num_heads}) must divide `{name}` (={width}); try num_heads={nearest}.")


class TokenInput(nn.Module):
    """Makes the tokens of all modalities comparable: x = n_m(x) + e_m + c(position).

    n_m is a LayerNorm, e_m a learned vector of the modality, c the code of `position_code`, nothing where an encoder
    gives no positions. What lies under the mask is zeroed first: 0 * nan is nan, also in attention.

    Parameters: 3MD.

    Args:
        modalities: Names, in the order of the config.
        width: D of the tokens.
    """

    def __init__(self, modalities: Sequence[str], width: int) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in self.modalities)
        self.kinds = nn.Parameter(torch.randn(len(self.modalities), width) * 0.02)

    def forward(self, tokens: Mapping[str, Tokens]) -> list[Tensor]:
        """Tokens [B,L,D] of each modality -> the same shapes, in the order of the config."""
        made = []
        for norm, kind, name in zip(self.norms, self.kinds, self.modalities, strict=True):
            values, mask, positions = tokens[name]
            values = norm(torch.where(mask.unsqueeze(-1), values, 0)) + kind
            made.append(values if positions is None else values + position_code(positions, values.shape[-1]))
        return made


class AttentionBlock(nn.Module):
    """One block of a transformer that reads another sequence, or itself.

    x = x + MHA(n(x), n(c), n(c)), then x = x + W_2 gelu(W_1 n'(x)) with 4D hidden units. After Vaswani et al. 2017,
    https://arxiv.org/abs/1706.03762; normalised before each part (Xiong et al. 2020, https://arxiv.org/abs/2002.04745).

    Parameters: 12D² + 13D.

    Args:
        width: D; a multiple of `num_heads`.
        num_heads: Attention heads.
        dropout: On the attention, on its result, on the hidden units and on theirs.
    """

    def __init__(self, width: int, num_heads: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm_attention, self.norm_inner = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, num_heads, dropout, batch_first=True)
        self.inner = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor, mask: Tensor, context: Tensor | None = None) -> Tensor:
        """Reads `context` [B,K,D], or itself where there is none: values [B,L,D] -> [B,L,D].

        `mask`, [B,K] or [B,L], says which of the tokens that are read are real; every row needs one.
        """
        queries = self.norm_attention(values)
        keys = queries if context is None else self.norm_attention(context)
        read, _ = self.attention(queries, keys, keys, key_padding_mask=~mask, need_weights=False)
        values = values + self.dropout(read)
        hidden: Tensor = values + self.dropout(self.inner(self.norm_inner(values)))
        return hidden


def with_token(values: Tensor, mask: Tensor, token: Tensor) -> tuple[Tensor, Tensor]:
    """Puts tokens [n,D], real in every row, before values [B,L,D] and mask [B,L]: no softmax over nothing."""
    own = token.to(values.dtype).expand(len(values), -1, -1)  # [B,n,D]
    return torch.cat([own, values], dim=1), torch.cat([mask.new_ones(own.shape[:2]), mask], dim=1)


def position_code(positions: Tensor, width: int) -> Tensor:
    """Sines and cosines of where a token stands: positions [B,L,3] (seconds, y, x; NaN: not) -> [B,L,width].

    Each axis has a third of the width, at frequencies from 2^-5 to 2^4 turns a second or a picture, evenly spaced by
    their logarithm; zeros for an axis that a token has not, and where the width leaves a rest.
    """
    count = width // 6
    turns = 2.0 ** torch.linspace(-5, 4, max(count, 2), device=positions.device)[:count]  # [width/6]
    angle = 2 * math.pi * torch.nan_to_num(positions).unsqueeze(-1) * turns  # [B,L,3,width/6]
    code = torch.cat([angle.sin(), angle.cos()], dim=-1)  # [B,L,3,width/3]
    code = torch.where(positions.isnan().unsqueeze(-1), 0, code).flatten(2)
    return nn.functional.pad(code, (0, width - code.shape[-1]))

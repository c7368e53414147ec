"""Attentive pooling: a few learned queries read the tokens of all modalities in one attention.

Pooling by multi-head attention (PMA) of the Set Transformer, Lee et al. 2019, https://arxiv.org/abs/1810.00825:
H = n(Q + MHA(Q, X, X)), Z = n(H + relu(H W + b)), Q [q,D] learned, X the tokens. Differs: the tokens are normalised and
get a learned vector of their modality; a token of our own is always real, so that softmax never sees an empty row; the
q results pass together through an MLP, whose hidden layer lets what the queries found interact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor, nn

from mmtrain.blocks import require_heads
from mmtrain.contracts import Fused, Range, Tokens
from mmtrain.layers import MLP, join, pool, presence


class AttentivePoolingFusion(nn.Module):
    """Reads tokens rather than vectors, at a cost linear in their number.

    Parameters, q = `num_queries`, H = `hidden_size`: (M + 1 + q)D for modality vectors, the token and the queries,
    2MD + 4D for the norms, 4(D² + D) for the attention, D² + D for the inner layer, (qD + 1)H + (H + 1)D for the MLP.

    Args:
        modalities: Names, in the order of the config.
        width: D of the tokens.
        num_queries: Learned queries.
        num_heads: Attention heads; must divide `width`.
        hidden_size: Hidden units of the MLP; None: `width`.
        dropout: On the hidden units of the MLP.

    Raises:
        ValueError: `num_heads` does not divide `width`.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        width: int,
        *,
        num_queries: Annotated[int, Range(1)] = 4,
        num_heads: Annotated[int, Range(1)] = 4,
        hidden_size: Annotated[int, Range(1)] | None = None,
        dropout: Annotated[float, Range(0, 1)] = 0.0,
    ) -> None:
        super().__init__()
        require_heads(width, num_heads)
        self.modalities = tuple(modalities)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in self.modalities)
        self.kinds = nn.Parameter(torch.randn(len(self.modalities), width) * 0.02)
        self.token = nn.Parameter(torch.randn(width) * 0.02)
        self.queries = nn.Parameter(torch.randn(num_queries, width))
        self.attention = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.norm_attention, self.norm_inner = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inner = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.mlp = MLP(num_queries * width, hidden_size or width, width, dropout=dropout)

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Tokens [B,L,D] of each modality -> pooled [B,D], weights [B,M]: attention on each, mean of the queries."""
        sequence, spans = join(tokens, self.modalities)
        keys = torch.cat([self._key(index, tokens[name]) for index, name in enumerate(self.modalities)], dim=1)
        token = self.token.to(keys.dtype).expand(len(keys), 1, -1)
        keys = torch.cat([keys, token], dim=1)  # [B,L+1,D]
        ignored = nn.functional.pad(~sequence.mask, (0, 1), value=False)  # [B,L+1]
        queries = self.queries.to(keys.dtype).expand(len(keys), -1, -1)  # [B,q,D]
        read, attention = self.attention(queries, keys, keys, key_padding_mask=ignored)  # [B,q,D], [B,q,L+1]
        hidden = self.norm_attention(queries + read)
        hidden = self.norm_inner(hidden + self.inner(hidden))  # [B,q,D]
        pooled: Tensor = self.mlp(hidden.flatten(1))  # [B,D]
        seen = attention.detach().float().mean(dim=1)  # [B,L+1]
        weights = torch.stack([seen[:, spans[name]].sum(dim=1) for name in self.modalities], dim=1)  # [B,M]
        vectors, present = pool(tokens, self.modalities), presence(tokens, self.modalities)
        return Fused(pooled, sequence, spans, vectors, present, weights)

    def _key(self, index: int, tokens: Tokens) -> Tensor:
        values = torch.where(tokens.mask.unsqueeze(-1), tokens.values, 0)  # 0 * nan is nan, also in attention
        normed: Tensor = self.norms[index](values) + self.kinds[index]
        return normed

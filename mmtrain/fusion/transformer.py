"""Single-stream transformer: all tokens of all modalities in one sequence, each attending to every other.

S = [c; X_1; ...; X_M], c a learned token, X_m = n_m(tokens of m) + e_m + position code; L blocks of self-attention;
z = n(S_c). The early fusion of VisualBERT (Li et al. 2019, https://arxiv.org/abs/1908.03557), whose segment embeddings
are our e_m. Differs: normalised before each block, trained from scratch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor, nn

from mmtrain.blocks import AttentionBlock, TokenInput, require_heads, with_token
from mmtrain.contracts import Fused, Range, Tokens
from mmtrain.layers import join, pool, presence


class TransformerFusion(nn.Module):
    """Lets every token read every other, at a cost quadratic in the tokens of all modalities together.

    No token reads padding or an absent modality; c is always real. The sequence holds the tokens as the last block left
    them.

    Parameters, K = `num_layers`: 3MD for the input, D for c, K(12D² + 13D) for the blocks, 2D for the norm.

    Args:
        modalities: Names, in the order of the config.
        width: D of the tokens.
        num_layers: Blocks.
        num_heads: Attention heads; must divide `width`.
        dropout: In every block.

    Raises:
        ValueError: `num_heads` does not divide `width`.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        width: int,
        *,
        num_layers: Annotated[int, Range(1)] = 2,
        num_heads: Annotated[int, Range(1)] = 4,
        dropout: Annotated[float, Range(0, 1)] = 0.0,
    ) -> None:
        super().__init__()
        require_heads(width, num_heads)
        self.modalities = tuple(modalities)
        self.input = TokenInput(self.modalities, width)
        self.token = nn.Parameter(torch.randn(1, width) * 0.02)
        self.blocks = nn.ModuleList(AttentionBlock(width, num_heads, dropout=dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Tokens [B,L,D] of each modality -> pooled [B,D]; the sequence holds the updated tokens."""
        sequence, spans = join(tokens, self.modalities)
        values, mask = with_token(torch.cat(self.input(tokens), dim=1), sequence.mask, self.token)  # [B,1+L,D]
        for block in self.blocks:
            values = block(values, mask)
        values = self.norm(values)
        vectors, present = pool(tokens, self.modalities), presence(tokens, self.modalities)
        pooled: Tensor = values[:, 0]
        return Fused(pooled, sequence._replace(values=values[:, 1:]), spans, vectors, present)

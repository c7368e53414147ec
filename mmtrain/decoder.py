"""A transformer that writes a text token by token while it reads the tokens of a model, and the search for the text.

After Vaswani et al. 2017, "Attention Is All You Need", https://arxiv.org/abs/1706.03762. Differs: normalises before
each part (Xiong et al. 2020, https://arxiv.org/abs/2002.04745), positions are learned, and the last layer is the
transposed embedding (Press and Wolf 2016, https://arxiv.org/abs/1608.05859). Keys and values of what is written and of
what is read are kept, so that one more token costs one token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmtrain.blocks import require_heads
from mmtrain.layers import MLP
from mmtrain.tokenizer import END, PADDING, START, UNKNOWN

Kept = list[tuple[Tensor, Tensor]]
"""Keys and values [B,H,T,D/H] of each layer."""


class TransformerDecoder(nn.Module):
    """Scores of the next token after every token of a text.

    Args:
        vocabulary: V, the special tokens of `mmtrain.tokenizer` included.
        width: D; a multiple of `num_heads`.
        num_layers: Blocks, each of self-attention, attention to what is read, and a feed-forward part.
        num_heads: Attention heads.
        dropout: In every block and on the embedded tokens.
        length: Most tokens that can be written, the last one included.
    """

    def __init__(
        self, vocabulary: int, width: int, *, num_layers: int, num_heads: int, dropout: float, length: int
    ) -> None:
        super().__init__()
        require_heads(width, num_heads)
        self.embedding, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        for table in (self.embedding, self.positions):
            nn.init.normal_(table.weight, std=0.02)
        self.layers = nn.ModuleList(_Block(width, num_heads, dropout) for _ in range(num_layers))
        self.norm, self.dropout, self.width = nn.LayerNorm(width), nn.Dropout(dropout), width

    def read(self, memory: Tensor, mask: Tensor) -> Kept:
        """What every layer keeps of the tokens that are read: [B,K,D], of which `forward` reads those of the mask."""
        return [cast(_Block, block).memory.keys(memory) for block in self.layers]

    def forward(self, ids: Tensor, read: Kept, mask: Tensor, written: Kept | None = None) -> tuple[Tensor, Kept]:
        """Scores of the token after each of `ids`, and what is to be kept of these and of those written before.

        Args:
            ids: Tokens [B,T] that follow those of `written`.
            read: Of `read`.
            mask: [B,K], True where a token that is read is real; every row needs one.
            written: What was kept before; None: `ids` are the start of the text.

        Returns:
            [B,T,V], and keys and values of all tokens so far.
        """
        start = written[0][0].shape[2] if written else 0
        places = torch.arange(start, start + ids.shape[1], device=ids.device)
        values = self.dropout(self.embedding(ids) + self.positions(places))  # [B,T,D]
        kept: Kept = []
        for number, (block, memory) in enumerate(zip(self.layers, read, strict=True)):
            values, own = block(values, memory, mask, written[number] if written else None)
            kept.append(own)
        return F.linear(self.norm(values), self.embedding.weight), kept


class _Block(nn.Module):
    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.text, self.memory = (_Attention(width, num_heads, dropout) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.inner, self.dropout = MLP(width, 4 * width, width, dropout=dropout), nn.Dropout(dropout)

    def forward(
        self, values: Tensor, memory: tuple[Tensor, Tensor], mask: Tensor, written: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        normed = self.norms[0](values)
        keys, contents = self.text.keys(normed)
        if written is not None:
            keys, contents = torch.cat([written[0], keys], dim=2), torch.cat([written[1], contents], dim=2)
        time = torch.arange(keys.shape[2], device=keys.device)
        past = time <= time[-values.shape[1] :].unsqueeze(1)  # [T,T so far]
        values = values + self.dropout(self.text(normed, keys, contents, past))
        values = values + self.dropout(self.memory(self.norms[1](values), *memory, mask[:, None, None, :]))
        return values + self.dropout(self.inner(self.norms[2](values))), (keys, contents)


class _Attention(nn.Module):
    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.queries, self.pairs, self.output = (nn.Linear(width, n * width) for n in (1, 2, 1))

    def keys(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of tokens [B,T,D]: [B,H,T,D/H] each."""
        keys, contents = (self._heads(part) for part in self.pairs(values).chunk(2, dim=-1))
        return keys, contents

    def forward(self, values: Tensor, keys: Tensor, contents: Tensor, mask: Tensor) -> Tensor:
        """Tokens [B,T,D] read those of the keys where the mask says so: [B,T,D]."""
        dropout = self.dropout if self.training else 0.0
        found = F.scaled_dot_product_attention(self._heads(self.queries(values)), keys, contents, mask, dropout)
        read: Tensor = self.output(found.transpose(1, 2).flatten(2))
        return read

    def _heads(self, values: Tensor) -> Tensor:
        return values.view(*values.shape[:2], self.num_heads, -1).transpose(1, 2)


class Written(NamedTuple):
    """What a search has found."""

    ids: Tensor  # [B,T]: the tokens, END after the last one and PADDING after that
    scores: Tensor  # [B]: the sum of the logarithms of their probabilities


Step = Callable[[Tensor, Tensor | None], Tensor]
"""Scores [N,V] of the next token, given the last token [N] of each text, and which of the texts before each goes on."""


def search(
    step: Step, rows: int, *, length: int, beam_size: int, length_penalty: float, device: torch.device
) -> Written:
    """The likeliest texts as far as a beam can tell; with a beam of one, the likeliest token each time.

    A text is judged by the sum of its logarithms divided by its number of tokens to the power of `length_penalty`, as
    in Wu et al. 2016, https://arxiv.org/abs/1609.08144, less the constants. One that has ended waits for the others.

    Args:
        step: The model; called with the last tokens of N = rows * beam_size texts.
        rows: B.
        length: Most tokens, the end included.
        beam_size: Texts kept of each row.
        length_penalty: 0 judges by the plain sum, which favours short texts.
        device: Where the tokens are.
    """
    count = rows * beam_size
    first = torch.arange(count, device=device) // beam_size * beam_size  # [N], the first text of each row
    ids = torch.empty(count, 0, dtype=torch.int64, device=device)
    last, ended = torch.full((count,), START, device=device), torch.zeros(count, dtype=torch.bool, device=device)
    # The texts of a row start out equal: all but one wait until there are several.
    scores = torch.where(torch.arange(count, device=device) == first, 0.0, -torch.inf)
    lengths, origin = torch.ones(count, device=device), None
    for _ in range(length):
        new = step(last, origin).float().log_softmax(dim=-1)  # [N,V]
        new[:, [PADDING, UNKNOWN, START]] = -torch.inf
        new[ended] = -torch.inf
        new[ended, PADDING] = 0.0
        sums = scores.unsqueeze(1) + new  # [N,V]
        judged = (sums / lengths.unsqueeze(1) ** length_penalty).view(rows, -1)  # [B,beam*V]
        _, best = judged.topk(beam_size, dim=1)
        origin = (first.view(rows, -1) + best // new.shape[1]).flatten()  # [N]
        last = (best % new.shape[1]).flatten()
        scores = sums[origin, last]
        ids = torch.cat([ids[origin], last.unsqueeze(1)], dim=1)
        ended = ended[origin] | (last == END) | scores.isinf()  # what can never be is not waited for
        lengths = lengths[origin] + ~ended
        if bool(ended.all()):
            break
    return Written(ids[::beam_size], scores[::beam_size])

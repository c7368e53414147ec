"""Convolutions over words: which phrases of a few words a text holds, as one token.

After Kim 2014, "Convolutional Neural Networks for Sentence Classification", https://arxiv.org/abs/1408.5882: filters of
several widths over word vectors, ReLU, the maximum over time of each filter, dropout. Differs: a filter may hang over
either end of the text, where it reads zeros, so that a text of one word is enough; padding is never read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from mmtrain.contracts import Range, Signal, SignalSpec, Tokens
from mmtrain.layers import vocabulary_size, zeroed
from mmtrain.word_vectors import start_from


class TextCNN(nn.Module):
    """Reads a text into one vector: the maximum over time of each filter.

    Args:
        spec: A text modality.
        widths: Words that a filter sees, one number a group of filters.
        num_filters: Filters of each width; D of the token is their sum.
        embedding_size: Width of a word vector.
        dropout: On the token.
        vectors: A text file of word2vec or GloVe vectors, from which the words found there start.

    Raises:
        ValueError: The modality has no vocabulary; `widths` is empty or not positive; `vectors` cannot be used.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        widths: Sequence[Annotated[int, Range(1)]] = (3, 4, 5),
        num_filters: Annotated[int, Range(1)] = 100,
        embedding_size: Annotated[int, Range(1)] = 100,
        dropout: Annotated[float, Range(0, 1)] = 0.5,
        vectors: str | None = None,
    ) -> None:
        super().__init__()
        if not widths or min(widths) < 1:
            raise ValueError(f"`widths` (={list(widths)}) must list one positive number a group; try [3, 4, 5].")
        self.embedding = nn.Embedding(vocabulary_size(spec), embedding_size)
        self.filters = nn.ModuleList(nn.Conv1d(embedding_size, num_filters, width) for width in widths)
        self.dropout = nn.Dropout(dropout)
        self.width = num_filters * len(widths)
        if vectors is not None:
            start_from(self.embedding, Path(vectors), spec.vocabulary)

    def forward(self, signal: Signal) -> Tokens:
        """Word ids [B,T] -> [B,1,width]."""
        embedded = torch.where(signal.mask.unsqueeze(-1), self.embedding(zeroed(signal)), 0).transpose(1, 2)  # [B,E,T]
        found = torch.cat([self._loudest(layer, embedded, signal.mask) for layer in self.filters], dim=1)
        return Tokens(self.dropout(found).unsqueeze(1), signal.mask.any(dim=1, keepdim=True))

    def _loudest(self, layer: nn.Module, embedded: Tensor, mask: Tensor) -> Tensor:
        """Maximum over the places that see a real word: [B,E,T], [B,T] -> [B,num_filters]."""
        assert isinstance(layer, nn.Conv1d)
        over = layer.kernel_size[0] - 1
        answers = layer(pad(embedded, (over, over))).relu()  # [B,num_filters,T+over]
        count = mask.sum(dim=1, keepdim=True)
        seen = torch.arange(answers.shape[2], device=mask.device) < count + over  # [B,T+over]
        return torch.where(seen.unsqueeze(1), answers, 0).amax(dim=2)  # no answer is below 0

"""Bag of words: which words a text holds, whatever their order, as one token.

After Joulin et al. 2016, "Bag of Tricks for Efficient Text Classification", https://arxiv.org/abs/1607.01759.
Differs: no n-grams, and a hidden layer instead of a linear classifier.
"""

from __future__ import annotations

from typing import Annotated

from torch import nn

from mmtrain.contracts import Range, Signal, SignalSpec, Tokens
from mmtrain.layers import masked_mean, vocabulary_size, zeroed


class BagOfWords(nn.Module):
    """Reads a text into one vector: relu(W e + b), e the mean of the vectors of its words.

    Args:
        spec: A text modality.
        embedding_size: Width of a word vector.
        hidden_size: D of the token.

    Raises:
        ValueError: The modality has no vocabulary.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        embedding_size: Annotated[int, Range(1)] = 64,
        hidden_size: Annotated[int, Range(1)] = 64,
    ) -> None:
        super().__init__()
        self.width = hidden_size
        self.embedding = nn.Embedding(vocabulary_size(spec), embedding_size)
        self.dense = nn.Sequential(nn.Linear(embedding_size, hidden_size), nn.ReLU())

    def forward(self, signal: Signal) -> Tokens:
        """Word ids [B,T] -> [B,1,hidden_size]."""
        mean = masked_mean(self.embedding(zeroed(signal)), signal.mask)  # [B,embedding_size]
        return Tokens(self.dense(mean).unsqueeze(1), signal.mask.any(dim=1, keepdim=True))

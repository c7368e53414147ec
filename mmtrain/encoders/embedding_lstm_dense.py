"""Embedding, LSTM, dense layer: a whole text as one token, in the manner of Keras' text classifiers.

Differs from theirs: the state kept is that after the last real word, never one that has read padding.
"""

from __future__ import annotations

from typing import Annotated

from torch import nn

from mmtrain.contracts import Range, Signal, SignalSpec, Tokens
from mmtrain.layers import lengths, vocabulary_size, zeroed


class EmbeddingLSTMDense(nn.Module):
    """Reads a text into one vector: relu(W h_n + b), h_n the state after its last word.

    Args:
        spec: A text modality; its vocabulary (`reader.text.vocabulary_size`, 10,000) sizes the embedding.
        embedding_size: Width of a word vector.
        hidden_size: Width of the state.
        dense_size: D of the token.

    Raises:
        ValueError: The modality has no vocabulary.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        embedding_size: Annotated[int, Range(1)] = 64,
        hidden_size: Annotated[int, Range(1)] = 64,
        dense_size: Annotated[int, Range(1)] = 64,
    ) -> None:
        super().__init__()
        self.width = dense_size
        self.embedding = nn.Embedding(vocabulary_size(spec), embedding_size)
        self.lstm = nn.LSTM(embedding_size, hidden_size, batch_first=True)
        self.dense = nn.Sequential(nn.Linear(hidden_size, dense_size), nn.ReLU())

    def forward(self, signal: Signal) -> Tokens:
        """Word ids [B,T] -> [B,1,dense_size]."""
        states, _ = self.lstm(self.embedding(zeroed(signal)))  # [B,T,hidden_size]
        last = (lengths(signal.mask) - 1).view(-1, 1, 1).expand(-1, 1, states.shape[2])
        final = states.gather(1, last)  # [B,1,hidden_size]
        return Tokens(self.dense(final), signal.mask.any(dim=1, keepdim=True))

"""LSTM or GRU over words: one token a word, each having read all words before it.

After Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735, and Cho et al. 2014,
https://arxiv.org/abs/1406.1078. Differs: padding is never read, and the embedding can start from word vectors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mmtrain.contracts import Range, Signal, SignalSpec, Tokens
from mmtrain.layers import lengths, vocabulary_size, zeroed
from mmtrain.word_vectors import start_from


class LSTMEncoder(nn.Module):
    """Reads a text word by word.

    Args:
        spec: A text modality.
        hidden_size: Width of each direction's state.
        num_layers: Stacked layers.
        embedding_size: Width of a word vector.
        bidirectional: Read backwards too; doubles the width of the tokens.
        dropout: Between layers, so it needs two of them.
        vectors: A text file of word2vec or GloVe vectors, a word and its numbers a line. Words of the vocabulary found
            there start from it and are trained on; `coverage` tells how many of them were.

    Raises:
        ValueError: The modality has no vocabulary; `dropout` without a second layer; `vectors` cannot be used.
    """

    recurrence: type[nn.LSTM] | type[nn.GRU] = nn.LSTM

    def __init__(
        self,
        spec: SignalSpec,
        *,
        hidden_size: Annotated[int, Range(1)] = 128,
        num_layers: Annotated[int, Range(1)] = 2,
        embedding_size: Annotated[int, Range(1)] = 100,
        bidirectional: bool = False,
        dropout: Annotated[float, Range(0, 1)] = 0.0,
        vectors: str | None = None,
    ) -> None:
        super().__init__()
        if dropout and num_layers == 1:
            raise ValueError(f"`dropout` (={dropout}) acts between layers; set `num_layers` to 2 or `dropout` to 0.")
        self.embedding = nn.Embedding(vocabulary_size(spec), embedding_size)
        self.layers = self.recurrence(
            embedding_size, hidden_size, num_layers, batch_first=True, dropout=dropout, bidirectional=bidirectional
        )
        self.width = hidden_size * (2 if bidirectional else 1)
        self.coverage = 0.0
        if vectors is not None:
            self.coverage = start_from(self.embedding, Path(vectors), spec.vocabulary)

    def forward(self, signal: Signal) -> Tokens:
        """Word ids [B,T] -> [B,T,width]."""
        embedded = self.embedding(zeroed(signal))  # [B,T,embedding_size]
        if not self.layers.bidirectional:
            # The state at a real word has read only words before it: padding on the right cannot reach it.
            return Tokens(self.layers(embedded)[0], signal.mask)
        packed = pack_padded_sequence(embedded, lengths(signal.mask).cpu(), batch_first=True, enforce_sorted=False)
        values, _ = pad_packed_sequence(self.layers(packed)[0], batch_first=True, total_length=embedded.shape[1])
        return Tokens(values, signal.mask)


class GRUEncoder(LSTMEncoder):
    """The same with gated recurrent units: three quarters of the parameters."""

    recurrence = nn.GRU

"""LSTM over words: one token a word, each having read all words before it.

After Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735. Differs: padding is never read, and
the embedding can start from published word vectors.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mmtrain.contracts import Range, Signal, SignalSpec, Tokens
from mmtrain.layers import lengths, vocabulary_size, zeroed


class LSTMEncoder(nn.Module):
    """Reads a text word by word.

    Args:
        spec: A text modality.
        hidden_size: Width of each direction's state.
        num_layers: Stacked LSTMs.
        embedding_size: Width of a word vector.
        bidirectional: Read backwards too; doubles the width of the tokens.
        dropout: Between layers, so it needs two of them.
        vectors: A text file of word2vec or GloVe vectors, a word and its numbers a line. Words of the vocabulary found
            there start from it and are trained on; `coverage` tells how many of them were.

    Raises:
        ValueError: The modality has no vocabulary; `dropout` without a second layer; `vectors` cannot be used.
    """

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
        self.lstm = nn.LSTM(
            embedding_size, hidden_size, num_layers, batch_first=True, dropout=dropout, bidirectional=bidirectional
        )
        self.width = hidden_size * (2 if bidirectional else 1)
        self.coverage = 0.0
        if vectors is not None:
            found = read_vectors(Path(vectors), spec.vocabulary, embedding_size)
            with torch.no_grad():
                for index, vector in found.items():
                    self.embedding.weight[index] = vector
            self.coverage = len(found) / max(1, len(spec.vocabulary) - 2)

    def forward(self, signal: Signal) -> Tokens:
        """Word ids [B,T] -> [B,T,width]."""
        embedded = self.embedding(zeroed(signal))  # [B,T,embedding_size]
        if not self.lstm.bidirectional:
            # The state at a real word has read only words before it: padding on the right cannot reach it.
            return Tokens(self.lstm(embedded)[0], signal.mask)
        packed = pack_padded_sequence(embedded, lengths(signal.mask).cpu(), batch_first=True, enforce_sorted=False)
        values, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=embedded.shape[1])
        return Tokens(values, signal.mask)


def read_vectors(path: Path, vocabulary: tuple[str, ...], size: int) -> dict[int, Tensor]:
    """The vectors of the words of a vocabulary, by id; the first wins where the file repeats a word.

    Raises:
        ValueError: The file cannot be read, or holds vectors of another size or with values that are no numbers.
    """
    ids = {word: index for index, word in enumerate(vocabulary) if index > 1}  # 0 and 1 are padding and unknown
    found: dict[int, Tensor] = {}
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                # From the right: GloVe has "words" with spaces in them.
                word, *fields = line.rstrip().rsplit(" ", size)
                if number == 1 and len(line.split()) == 2 and size != 1:
                    continue  # word2vec's header: how many vectors, of what size
                if len(fields) != size or (number < 3 and " " in word):
                    count = len(line.split()) - 1
                    raise ValueError(
                        f"{path}:{number}: {count} numbers; `embedding_size` is {size}, set it to {count}."
                    )
                if word in ids and ids[word] not in found:
                    found[ids[word]] = _vector(fields, f"{path}:{number}")
    except OSError as error:
        raise ValueError(f"`vectors`: {path} cannot be read: {error.strerror}") from None
    return found


def _vector(fields: list[str], place: str) -> Tensor:
    try:
        numbers = [float(field) for field in fields]
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{place}: holds nan or infinite values")
    return torch.tensor(numbers)

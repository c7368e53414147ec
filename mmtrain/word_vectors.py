"""Published word vectors, word2vec or GloVe, as the start of an embedding."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn


def start_from(embedding: nn.Embedding, path: Path, vocabulary: tuple[str, ...]) -> float:
    """Gives the words of a vocabulary that the file has their vectors; returns the share of words found.

    Raises:
        ValueError: As of `read_vectors`.
    """
    found = read_vectors(path, vocabulary, embedding.embedding_dim)
    with torch.no_grad():
        for index, vector in found.items():
            embedding.weight[index] = vector
    return len(found) / max(1, len(vocabulary) - 2)


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

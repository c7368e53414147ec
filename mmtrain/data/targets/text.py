"""Targets that are texts: what a model is to write, in the words of one or several people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import torch

from mmtrain import hub
from mmtrain.contracts import Range
from mmtrain.data.targets.cells import parts, require_separator, shown
from mmtrain.errors import ConfigError
from mmtrain.target import Target, TargetSpec
from mmtrain.tokenizer import FILE, UNKNOWN, Choice, Tokenizer, learn, parsed


class TextTarget:
    """A text a row, or several that are equally right; training draws one of them, metrics see all as they are written.

    Args:
        name: Name of the target column.
        decoder: A folder or name on the Hub of a language model whose tokenizer is taken; None: one is learned.
        tokenizer: How a text becomes tokens where one is learned; see `mmtrain.tokenizer`.
        vocabulary_size: Most tokens, the four special ones included.
        max_length: Most tokens of a text; a longer one cannot be read.
        references: What separates the texts of a cell; `json`: a JSON list of texts; None: the cell is one text.

    Raises:
        ValueError: `references` is empty.
    """

    kind = "text"
    remarks: Sequence[str] = ()

    def __init__(
        self,
        name: str,
        *,
        decoder: str | None = None,
        tokenizer: Choice = "words",
        vocabulary_size: Annotated[int, Range(5, 1_000_000)] = 10_000,
        max_length: Annotated[int, Range(1, 100_000)] = 256,
        references: str | None = None,
    ) -> None:
        require_separator("references", references)
        self.name, self.references, self.decoder = name, references, decoder
        self.choice, self.vocabulary_size, self.max_length = tokenizer, vocabulary_size, max_length
        self._tokenizer: Tokenizer | None = None

    def check(self, value: str) -> None:
        """Whether the cell holds texts.

        Raises:
            ValueError: A text is empty, or the cell is no JSON list of strings.
        """
        self._texts(value)

    def fit(self, values: Iterable[str]) -> TargetSpec:
        """Learns the vocabulary, or reads the tokenizer of `decoder`.

        Raises:
            ValueError: There is no text, or `vocabulary_size` is too small.
            ConfigError: `decoder` has no tokenizer.
            ImportError: The tokenizer needs a package that is not installed.
        """
        texts = [text for value in values for text in self._texts(value)]
        if not texts:
            raise ValueError(f"`{self.name}` has no text in the training rows")
        if self.decoder is not None:
            spec = TargetSpec(self.name, self.kind, tokenizer=_pretrained(self.decoder), length=self.max_length)
        else:
            vocabulary, merges = learn(self.choice, texts, size=self.vocabulary_size)
            spec = TargetSpec(
                self.name,
                self.kind,
                tokenizer=self.choice,
                vocabulary=vocabulary,
                merges=merges,
                length=self.max_length,
            )
        self.restore(spec)
        return spec

    def restore(self, spec: TargetSpec) -> None:
        """Takes the tokenizer of `spec`."""
        self._tokenizer, self.max_length = Tokenizer(spec), spec.length

    def encode(self, value: str, key: int | None = None) -> Target:
        """The ids of one text of the cell, [T] int64, and all its texts as they are written.

        Raises:
            ValueError: A text is empty, has more than `max_length` tokens or, in characters, one that is unknown.
        """
        texts, ids = self._read(value)
        chosen = ids[0 if key is None else key % len(ids)]
        return Target([torch.tensor(chosen, dtype=torch.int64)], torch.tensor([True]), [tuple(texts)])

    def _read(self, value: str) -> tuple[list[str], list[list[int]]]:
        """The texts of a cell and their ids; errors as of `encode`."""
        assert self._tokenizer is not None, "`fit` or `restore` comes first"
        texts = self._texts(value)
        ids = [self._tokenizer.encode(text) for text in texts]
        for text, numbers in zip(texts, ids, strict=True):
            if len(numbers) > self.max_length:
                raise ValueError(f"{shown(text)} has {len(numbers):,} tokens, over `max_length` (={self.max_length})")
            if self.decoder is None and self.choice == "characters" and UNKNOWN in numbers:
                character = text[numbers.index(UNKNOWN)]
                raise ValueError(f"{shown(text)} holds the character {character!r}, which no training row has")
        return texts, ids

    def beyond_vocabulary(self, value: str) -> bool:
        """Whether a cell that `encode` takes holds a word outside the vocabulary, which can never be written.

        No text is unknown to byte pairs, and `encode` refuses characters that are.
        """
        if self.decoder is not None or self.choice != "words":
            return False
        try:
            _, ids = self._read(value)
        except ValueError:
            return False
        return any(UNKNOWN in numbers for numbers in ids)

    def absent(self) -> Target:
        """No token, under the mask, and no text."""
        return Target([torch.zeros(0, dtype=torch.int64)], torch.tensor([False]), [()])

    def _texts(self, value: str) -> list[str]:
        texts = [value] if self.references is None else parts(value, self.references)
        if not texts:
            raise ValueError("the list of texts is empty")
        return texts


def _pretrained(name: str) -> str:
    """The tokenizer of a language model, as JSON."""
    try:
        text = hub.file(name, FILE).read_text(encoding="utf-8")
        parsed(text)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"`task.decoder` (={name}) has no tokenizer: {error}; name a folder that holds {FILE} "
            "(AutoTokenizer.from_pretrained(...).save_pretrained(...) of transformers writes one)"
        ) from None
    return text

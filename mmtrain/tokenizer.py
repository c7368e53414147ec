"""Texts that a model writes, as tokens: characters, words, or pieces of words, learned from texts or taken over.

For targets only. Readers of text may forget (case, rare words); what is written must come back as it was.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Literal

from mmtrain.target import TargetSpec

Choice = Literal["characters", "words", "bpe"]
PADDING, UNKNOWN, START, END = range(4)
"""Ids that are no text; 0 is also the blank of CTC."""
SPECIAL = ("<pad>", "<unknown>", "<start>", "<end>")
FILE = "tokenizer.json"
"""Where transformers keeps a tokenizer as the JSON that `parsed` reads."""


class Tokenizer:
    """Texts to ids and back.

    `characters`: every character, blanks included. `words`: what stands between white space, which comes back as single
    spaces; a word that is not in the vocabulary is unknown. `bpe`: byte-level byte pair encoding (Sennrich et al. 2016,
    arXiv 1508.07909; bytes as in GPT-2) by the `tokenizers` library; no text is unknown to it. JSON of that library: a
    pretrained tokenizer, whose ids follow the special ones, without the marks that it would put around a text.

    Args:
        spec: `tokenizer`, `vocabulary` and `merges` are read from it.

    Raises:
        ValueError: They do not fit together.
        ImportError: `bpe` or JSON without the package `tokenizers`.
    """

    def __init__(self, spec: TargetSpec) -> None:
        self._pretrained = parsed(spec.tokenizer) if spec.tokenizer.startswith("{") else None
        if self._pretrained is None and spec.vocabulary[: len(SPECIAL)] != SPECIAL:
            raise ValueError(f"the vocabulary of `{spec.name}` does not begin with {' '.join(SPECIAL)}")
        self.kind, self._tokens = spec.tokenizer, spec.vocabulary
        self._ids = {token: number for number, token in enumerate(spec.vocabulary)}
        self._subwords = _subwords(spec.vocabulary, spec.merges) if self.kind == "bpe" else None

    def __len__(self) -> int:
        if self._pretrained is not None:
            return len(SPECIAL) + 1 + int(max(self._pretrained.get_vocab(with_added_tokens=True).values()))
        return len(self._tokens)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without start and end."""
        if self._pretrained is not None:
            return [len(SPECIAL) + number for number in self._pretrained.encode(text, add_special_tokens=False).ids]
        if self._subwords is not None:
            return [self._ids[token] for token in self._subwords.encode(text).tokens]
        return [self._ids.get(token, UNKNOWN) for token in _parted(text, self.kind)]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, up to the first end; padding and start are passed over."""
        ids = ids[: ids.index(END)] if END in ids else ids
        if self._pretrained is not None:
            return str(self._pretrained.decode([number - len(SPECIAL) for number in ids if number >= len(SPECIAL)]))
        tokens = [self._tokens[number] for number in ids if number not in (PADDING, START)]
        if self._subwords is not None:
            return str(self._subwords.decoder.decode([token for token in tokens if token != SPECIAL[UNKNOWN]]))
        return (" " if self.kind == "words" else "").join(tokens)


def parsed(text: str) -> Any:
    """A tokenizer of the `tokenizers` library from its JSON, without padding or truncation.

    Raises:
        ValueError: The library cannot read it.
        ImportError: It is not installed.
    """
    read = _library().Tokenizer.from_str
    try:
        tokenizer = read(text)
    except Exception as error:  # noqa: BLE001  the border to a library that raises nothing narrower
        raise ValueError(f"no tokenizer that `tokenizers` can read: {error}") from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def learn(kind: Choice, texts: Sequence[str], *, size: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The vocabulary of at most `size` tokens, the commonest ones, and the merges of `bpe`.

    Raises:
        ValueError: Byte pairs need a larger vocabulary.
        ImportError: `bpe` without the package `tokenizers`.
    """
    if kind == "bpe":
        return _learn_subwords(texts, size)
    counts = Counter(token for text in texts for token in _parted(text, kind) if token not in SPECIAL)
    common = sorted(counts, key=lambda token: (-counts[token], token))
    return (*SPECIAL, *common[: size - len(SPECIAL)]), ()


def _parted(text: str, kind: str) -> Sequence[str]:
    return text.split() if kind == "words" else text


def _learn_subwords(texts: Sequence[str], size: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    tokenizers = _library()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    if size < len(alphabet) + len(SPECIAL):
        raise ValueError(f"`vocabulary_size` (={size}) is too small for bpe, which begins with {len(alphabet)} bytes")
    trained = tokenizers.Tokenizer(tokenizers.models.BPE())
    trained.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.train_from_iterator(
        texts,
        tokenizers.trainers.BpeTrainer(
            vocab_size=size - len(SPECIAL), initial_alphabet=sorted(alphabet), show_progress=False
        ),
    )
    model = json.loads(trained.to_str())["model"]
    vocabulary: dict[str, int] = model["vocab"]
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    return (*SPECIAL, *sorted(vocabulary, key=vocabulary.__getitem__)), tuple(pairs)


def _subwords(vocabulary: Sequence[str], merges: Sequence[str]) -> Any:
    tokenizers = _library()
    pairs = [(left, right) for left, _, right in (pair.partition(" ") for pair in merges)]
    ids = {token: number for number, token in enumerate(vocabulary)}
    known = set(vocabulary)
    wrong = [pair for pair in pairs if not {*pair, "".join(pair)} <= known]
    if wrong:
        raise ValueError(f"the merge '{' '.join(wrong[0])}' is not of the vocabulary")
    made = tokenizers.Tokenizer(tokenizers.models.BPE(ids, pairs))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    return made


def _library() -> ModuleType:
    # Its threads would be lost in forked workers, with a warning each; one text a call gains nothing from them.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import tokenizers
    except ImportError:
        raise ImportError(
            "`tokenizer: bpe` or a pretrained `decoder` needs the package tokenizers: pip install 'mmtrain[hf]'"
        ) from None
    return tokenizers

"""Text reader: words to numbers, with a vocabulary learned from the training rows.

A word is a run of Unicode letters and digits, with the marks and apostrophes inside it ("don't"). Han and Kana have no
spaces between words, so each character is one, or jieba (https://github.com/fxsjy/jieba) finds the words of Chinese;
Hangul has spaces, and stays whole. Thai, Lao and Khmer are not segmented: a phrase is one word. Punctuation and emoji
carry no word; a text of nothing else is one unknown word. By characters, all that can be printed counts.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Annotated, Literal

import torch
from torch import Tensor

from mmtrain.contracts import Cell, Range, SignalSpec
from mmtrain.errors import ConfigError

PADDING, UNKNOWN = "<pad>", "<unknown>"  # ids 0 and 1
LONGEST_WORD = 64  # characters; what is longer is a hash, a base64 blob or noise, and never enters the vocabulary

_CJK = "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
# `\w` lacks combining marks: without these, Hindi, Tamil or Hebrew words would break at every vowel sign.
_MARKS = "".join(
    char for char in map(chr, [*range(0x300, 0x1E00), *range(0xA600, 0xAC00)]) if unicodedata.category(char)[0] == "M"
)
_LETTER = rf"[^\W_{_CJK}]"
_RUN = rf"{_LETTER}+(?:[{_MARKS}]+{_LETTER}*)*"
_RUNS = rf"{_RUN}(?:['\u200c\u200d]{_RUN})*"  # the last two join letters in Persian and Hindi
_WORD = re.compile(rf"[{_CJK}]|{_RUNS}")
_ASCII_WORD = re.compile(r"[0-9A-Za-z]+(?:'[0-9A-Za-z]+)*")  # the same of text in ASCII, in half the time
_PHRASE = re.compile(rf"([{_CJK}]+)|{_RUNS}")


class TextReader:
    """Reads a sentence as ids [T] of its words, int64; id 0 is padding, id 1 any word not seen in training.

    Args:
        name: The modality's name.
        segment: What a word is: `words` between spaces, `characters`, or `chinese` as jieba cuts it.
        max_length: Words kept of a text, from its start.
        vocabulary_size: Most entries of the vocabulary, padding and unknown included; the commonest words are kept.
        min_count: A word seen less often in training is unknown.
        lowercase: Ignore case.

    Raises:
        ConfigError: `segment` is chinese, and jieba is not installed.
    """

    kind = "text"

    def __init__(
        self,
        name: str,
        *,
        segment: Literal["words", "characters", "chinese"] = "words",
        max_length: Annotated[int, Range(2, 100_000)] = 64,
        vocabulary_size: Annotated[int, Range(3, 10_000_000)] = 10_000,
        min_count: Annotated[int, Range(1)] = 1,
        lowercase: bool = True,
    ) -> None:
        self.name = name
        self.max_length = max_length
        self.vocabulary_size = vocabulary_size
        self.min_count = min_count
        self.lowercase = lowercase
        self._segment = _chinese() if segment == "chinese" else {"words": _words, "characters": _characters}[segment]
        self._at_once = 1 if segment == "characters" else 256  # texts; no word goes on beyond the end of a line
        self._ids: dict[str, int] = {}

    def fit(self, cells: Iterable[Cell]) -> SignalSpec:
        """Learns the vocabulary: the commonest words, equally common ones in alphabetical order.

        Raises:
            ValueError: No text holds a word that is common enough.
        """
        counts: Counter[str] = Counter()
        texts = map(text_of, cells)
        while block := list(islice(texts, self._at_once)):
            counts.update(self.words("\n".join(block)))
        common = [word for word, count in counts.items() if count >= self.min_count and len(word) <= LONGEST_WORD]
        if not common:
            raise ValueError(f"no word occurs `min_count` (={self.min_count}) times in the training texts")
        common.sort(key=lambda word: (-counts[word], word))
        vocabulary = (PADDING, UNKNOWN, *common[: self.vocabulary_size - 2])
        spec = SignalSpec(self.name, self.kind, length=self.max_length, vocabulary=vocabulary)
        self.restore(spec)
        return spec

    def restore(self, spec: SignalSpec) -> None:
        """Takes the vocabulary and the longest text of `spec`.

        Raises:
            ValueError: The vocabulary does not begin with padding and unknown.
        """
        if spec.vocabulary[:2] != (PADDING, UNKNOWN):
            raise ValueError(f"the vocabulary of `{self.name}` must begin with {PADDING} and {UNKNOWN}")
        self.max_length = spec.length
        self._ids = {word: number for number, word in enumerate(spec.vocabulary)}

    def decode(self, cell: Cell) -> Tensor:
        """The ids of the first `max_length` words: [T] int64, T at least 1."""
        ids = [self._ids.get(word, 1) for word in islice(self.words(cell), self.max_length)]
        return torch.tensor(ids or [1])

    def finish(self, values: Tensor) -> Tensor:
        """The ids as they are."""
        return values

    def words(self, cell: Cell) -> Iterator[str]:
        """The words of a text, one by one, as they enter the vocabulary.

        Raises:
            ValueError: The cell is the content of a file.
        """
        text = unicodedata.normalize("NFKC", text_of(cell)).replace("’", "'")
        return self._segment(text.lower() if self.lowercase else text)


def text_of(cell: Cell) -> str:
    """The text of a cell.

    Raises:
        ValueError: The cell is the content of a file, or several columns.
    """
    if not isinstance(cell, str):
        found = "the content of a file" if not isinstance(cell, tuple) else f"{len(cell)} columns"
        raise ValueError(f"expected text, got {found}")
    return cell


def _words(text: str) -> Iterator[str]:
    return iter((_ASCII_WORD if text.isascii() else _WORD).findall(text))


def _characters(text: str) -> Iterator[str]:
    """All that can be printed; any run of white space is one space."""
    return (char for char in re.sub(r"\s+", " ", text) if char.isprintable())


@cache
def _chinese() -> Callable[[str], Iterator[str]]:
    """As `_words`, with the words of Han as jieba finds them by its dictionary."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in jieba's own source
            import jieba
    except ImportError:
        raise ConfigError("`segment: chinese` needs jieba: pip install 'mmtrain[chinese]'.") from None
    tokenizer = jieba.Tokenizer()
    # Its own start would read a cache from a folder that all users of the machine can write to.
    tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
    tokenizer.initialized = True

    def words(text: str) -> Iterator[str]:
        for match in _PHRASE.finditer(text):
            if match[1]:
                yield from tokenizer.cut(match[1])
            else:
                yield match[0]

    return words

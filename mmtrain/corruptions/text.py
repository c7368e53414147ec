"""Texts made worse: typing errors, words that are lost. They change the text itself, before any tokenizer.

A word is what stands between spaces; each character of Chinese or Japanese is one. The kinds of typing error are those
that word-level robustness is commonly tested by, e.g. Belinkov and Bisk 2018, https://arxiv.org/abs/1711.02173.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch

from mmtrain import seeding

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_WORD = re.compile(rf"[{_CJK}]|[^\s{_CJK}]+")


def typos(text: str, level: float, key: int) -> str:
    """Puts one typing error into a share `level` of the words: neighbours swapped, a letter lost, or one typed twice.

    A word of one letter can only be typed twice.
    """
    drawn = _drawn(text, key)

    def mistyped(match: re.Match[str]) -> str:
        chance, kind, place = next(drawn)
        return _mistyped(match[0], kind, place) if chance < level else match[0]

    return _WORD.sub(mistyped, text)


def drop(text: str, level: float, key: int) -> str:
    """Leaves out a share `level` of the words; at level 1 nothing is left."""
    drawn = _drawn(text, key)
    return _WORD.sub(lambda match: "" if next(drawn)[0] < level else match[0], text)


def _drawn(text: str, key: int) -> Iterator[list[float]]:
    """Three numbers from 0 to 1 for each word."""
    words = sum(1 for _ in _WORD.finditer(text))
    return iter(torch.rand(words, 3, generator=seeding.generator(key)).tolist())


def _mistyped(word: str, kind: float, place: float) -> str:
    """The word with one error; equal numbers make equal errors."""
    at = int(place * (len(word) - 1))  # never the last letter of several
    if len(word) == 1 or kind < 1 / 3:
        return word[: at + 1] + word[at:]
    if kind < 2 / 3:
        return word[:at] + word[at + 1 :]
    if word[at] == word[at + 1]:  # swapping equal ones would be no error
        return word[: at + 1] + word[at:]
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]

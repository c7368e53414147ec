"""Scores of written texts against several that are right: BLEU and chrF by sacrebleu, ROUGE-L, CIDEr-D, exact match."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from types import ModuleType

from mmtrain.contracts import Results

_WORD = re.compile(r"[぀-ヿ㐀-䶿一-鿿]|[^\W_぀-ヿ㐀-䶿一-鿿]+")  # of Chinese and Japanese, each character
_BETA = 1.2  # weight of recall in ROUGE-L, as in the evaluation of COCO captions
_SIGMA = 6.0  # words of difference in length, in CIDEr-D

References = Sequence[Sequence[str]]
"""For each written text those that are right, at least one."""


def known(results: Results, target: str, texts: Sequence[str]) -> tuple[list[str], list[tuple[str, ...]]]:
    """Texts and references of the rows that have a target."""
    found = results.targets[target]
    rows = zip(texts, found.references, found.mask.tolist(), strict=True)
    pairs = [(text, references) for text, references, has in rows if has]
    return [text for text, _ in pairs], [references for _, references in pairs]


def scores(texts: Sequence[str], references: References) -> dict[str, float]:
    """All scores from 0 to 1, but CIDEr, which is from 0 to 10; nan where there is no text.

    BLEU (Papineni et al. 2002) and chrF (Popović 2015) are those of sacrebleu over the whole corpus, BLEU by words as
    in WMT, or by characters where no text holds a blank.

    Raises:
        ImportError: The package sacrebleu is not installed.
    """
    if not texts:
        return dict.fromkeys(("cider", "bleu", "chrf", "rouge_l", "exact_match"), math.nan)
    metrics = library().metrics
    streams = [list(stream) for stream in zip_longest(*references)]  # None where a text has fewer
    spaced = any(" " in text.strip() for several in references for text in several)
    exact = [
        " ".join(text.split()) in {" ".join(one.split()) for one in r}
        for text, r in zip(texts, references, strict=True)
    ]
    return {
        "cider": cider(texts, references),
        "bleu": metrics.BLEU(tokenize="13a" if spaced else "char").corpus_score(texts, streams).score / 100,
        "chrf": metrics.CHRF().corpus_score(texts, streams).score / 100,
        "rouge_l": rouge_l(texts, references),
        "exact_match": sum(exact) / len(texts),
    }


def words(text: str) -> list[str]:
    """The words of a text in small letters, without punctuation."""
    return _WORD.findall(text.lower())


def rouge_l(texts: Sequence[str], references: References) -> float:
    """Mean over the texts of the best F by the longest common subsequence of words with a reference.

    F = (1 + b²) P R / (R + b² P), P = LCS / words of the text, R = LCS / words of the reference, b = 1.2. After Lin
    2004, "ROUGE: A Package for Automatic Evaluation of Summaries", https://aclanthology.org/W04-1013.
    """
    total = 0.0
    for text, right in zip(texts, references, strict=True):
        total += max(_rouge_l(words(text), words(one)) for one in right)
    return total / len(texts)


def _rouge_l(text: Sequence[str], reference: Sequence[str]) -> float:
    common = [0] * (len(reference) + 1)  # longest common subsequence with the first words of the reference
    for word in text:
        diagonal = 0
        for place, other in enumerate(reference, 1):
            above = common[place]
            common[place] = diagonal + 1 if word == other else max(above, common[place - 1])
            diagonal = above
    if not common[-1]:
        return 0.0
    precision, recall = common[-1] / len(text), common[-1] / len(reference)
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def cider(texts: Sequence[str], references: References) -> float:
    """CIDEr-D: 10 times the mean likeness of texts and references in their rarer runs of 1 to 4 words.

    For n words, g(s) holds for each run its count in s times log(N / rows of the N with a reference that has it); the
    likeness of text c and reference s is exp(-(|c| - |s|)² / 2σ²) min(g(c), g(s)) · g(s) / (|g(c)| |g(s)|), lengths in
    words, σ = 6; the mean over references, then n. After Vedantam et al. 2015, "CIDEr: Consensus-based Image
    Description Evaluation", https://arxiv.org/abs/1411.5726; counts are not divided by their sum, as in its published
    code. 0 where all rows have the same references, which nothing then tells apart.
    """
    seen: Counter[tuple[str, ...]] = Counter()
    for right in references:
        seen.update({run for one in right for run in _runs(words(one))})

    def vectors(text: str) -> list[dict[tuple[str, ...], float]]:
        found: list[dict[tuple[str, ...], float]] = [{} for _ in range(4)]
        for run, count in _runs(words(text)).items():
            found[len(run) - 1][run] = count * (math.log(len(texts)) - math.log(max(1, seen[run])))
        return found

    total = 0.0
    for text, right in zip(texts, references, strict=True):
        given, size = vectors(text), len(words(text))
        for one in right:
            nearness = math.exp(-((size - len(words(one))) ** 2) / (2 * _SIGMA**2)) / len(right)
            total += nearness * sum(map(_likeness, given, vectors(one))) / 4
    return 10 * total / len(texts)


def _runs(text: Sequence[str]) -> Counter[tuple[str, ...]]:
    return Counter(tuple(text[at : at + n]) for n in range(1, 5) for at in range(len(text) - n + 1))


def _likeness(given: dict[tuple[str, ...], float], right: dict[tuple[str, ...], float]) -> float:
    norms = math.hypot(*given.values()) * math.hypot(*right.values())
    return sum(min(given.get(run, 0.0), value) * value for run, value in right.items()) / norms if norms else 0.0


def library() -> ModuleType:
    """The module sacrebleu, or an ImportError that says how to get it."""
    try:
        import sacrebleu
    except ImportError:
        raise ImportError("captions are scored by the package sacrebleu: pip install 'mmtrain[language]'") from None
    return sacrebleu

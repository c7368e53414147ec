"""`did you mean`: the legal word that a mistyped one is nearest to."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `word`, None where none is alike; dotted keys are compared whole and by their last part.

    So `trianer.epochs`, `trainer.epochz`, `trainer.epochs.` and plain `epochs` all lead to `trainer.epochs`.
    """
    ranked = [(_likeness(word, legal), legal) for legal in candidates if not word.startswith(f"{legal}.")]
    score, best = max(ranked, default=(0.0, ""), key=lambda pair: pair[0])
    return best if score >= 0.6 else None


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """` Did you mean `x`?`, to end a message with; empty where nothing is alike."""
    best = nearest(word, candidates)
    return f" Did you mean `{best}`?" if best is not None else ""


def _likeness(word: str, candidate: str) -> float:
    typed, legal = _plain(word), _plain(candidate)
    whole = _ratio(typed, legal)
    typed_leaf, legal_leaf = typed.rpartition(".")[2], legal.rpartition(".")[2]
    if _ratio(typed_leaf, legal_leaf) < 0.25:
        return 0.0  # `trainer.foo` is no `trainer.epochs`, however long the part they share
    if typed == typed_leaf or typed_leaf == legal_leaf:  # a part left out, or a wrong way to the right end
        return max(whole, 0.95 * _ratio(typed_leaf, legal_leaf) + 0.04 * whole)
    return whole


def _plain(word: str) -> str:
    return word.strip(". ").lower().replace("-", "_").replace("/", ".")


def _ratio(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a, b, autojunk=False).ratio()

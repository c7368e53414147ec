"""Scores of captions by numbers that can be checked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mmtrain.caption_scores import cider, known, rouge_l, scores, words
from mmtrain.contracts import Results
from mmtrain.target import Target


def test_rouge_by_hand() -> None:
    """The texts "a b c d" and "a x c" share a, c: P = 2/4, R = 2/3, F = 2.44 P R / (R + 1.44 P); the best counts."""
    f = 2.44 * (2 / 4) * (2 / 3) / (2 / 3 + 1.44 * 2 / 4)

    assert rouge_l(["a b c d"], [["a x c"]]) == pytest.approx(f)
    assert rouge_l(["a b c d", "y"], [["q", "A, x. C"], ["z"]]) == pytest.approx(f / 2)
    assert rouge_l(["a"], [["a"]]) == 1.0
    assert rouge_l([""], [["a"]]) == 0.0


def test_cider_by_hand() -> None:
    """Of three rows each has a word of its own, and "the" is in all: log(3/1) and log(3/3) = 0.

    "the cat" for "the cat" is alike by words and by pairs, and has no longer runs: 10 * (1 + 1) / 4. "the cat sat" for
    "the dog ran" shares nothing that counts; nor does a row without text.
    """
    references = [["the cat"], ["the dog ran"], ["the sun"]]

    assert cider(["the cat", "the cat sat", ""], references) == pytest.approx(10 * (2 / 4) / 3)


def test_cider_counts_repetition_and_length() -> None:
    """The text "cat cat" for "cat": counts 2 and 1, so 1 * 1 / (2 * 1), less by exp(-1 / 72); no pairs."""
    assert cider(["cat cat", "x"], [["cat"], ["dog"]]) == pytest.approx(10 * math.exp(-1 / 72) * (1 / 2) / 4 / 2)


def test_cider_is_the_mean_over_references() -> None:
    """One of two is right by its only word."""
    assert cider(["cat", "x"], [["cat", "cow"], ["dog"]]) == pytest.approx(10 * (1 / 4) / 2 / 2)


def test_what_all_rows_share_tells_nothing() -> None:
    assert cider(["a cat"], [["a cat"]]) == 0.0


def test_right_texts_score_one_with_any_reference() -> None:
    """Texts may have different numbers of references; sacrebleu is told of those that are there."""
    found = scores(
        ["a red cat on a mat", "two dogs run far away"], [["a red cat on a mat"], ["x", "two dogs run  far away"]]
    )

    assert {name: found[name] for name in ("bleu", "chrf", "rouge_l", "exact_match")} == pytest.approx(
        dict.fromkeys(("bleu", "chrf", "rouge_l", "exact_match"), 1.0)
    )
    assert set(scores([], []).values()) != {0.0}
    assert all(map(math.isnan, scores([], []).values()))


def test_a_language_without_blanks_is_scored_by_characters() -> None:
    """Three of four characters, and runs of them, are right; as one word all would be wrong."""
    assert words("红色 cat，圆") == ["红", "色", "cat", "圆"]
    assert scores(["一只红色的猫"], [["一只红色的狗"]])["bleu"] > 0.5


def test_rows_without_a_target_do_not_count() -> None:
    target = Target([torch.zeros(1)] * 2, torch.tensor([True, False]), [("a", "b"), ()])
    results = Results(["1", "2"], [], {"says": target}, 0.0)

    assert known(results, "says", ["x", "y"]) == (["x"], [("a", "b")])

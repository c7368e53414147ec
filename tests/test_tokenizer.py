"""What is written as tokens comes back as it was."""

import pytest

from mmtrain.target import TargetSpec
from mmtrain.tokenizer import END, PADDING, SPECIAL, START, Choice, Tokenizer, learn

TEXTS = ["Zwei Hüte!", "two hats", "猫と犬 \n ok"]


def made(kind: Choice, size: int = 300) -> Tokenizer:
    vocabulary, merges = learn(kind, TEXTS, size=size)
    return Tokenizer(TargetSpec("caption", "text", tokenizer=kind, vocabulary=vocabulary, merges=merges))


@pytest.mark.parametrize("kind", ["characters", "bpe"])
@pytest.mark.parametrize("text", TEXTS)
def test_characters_and_byte_pairs_keep_every_character(kind: Choice, text: str) -> None:
    tokenizer = made(kind)

    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_words_come_back_with_single_spaces() -> None:
    tokenizer = made("words")

    assert tokenizer.decode(tokenizer.encode("two   Hüte!\nok")) == "two Hüte! ok"
    assert tokenizer.decode(tokenizer.encode("three hats")) == "<unknown> hats"


def test_no_text_is_unknown_to_byte_pairs() -> None:
    """Nor does any of its ids stand for something that is no text."""
    tokenizer = made("bpe")
    ids = tokenizer.encode("ÿ 🎩 neverseen")

    assert tokenizer.decode(ids) == "ÿ 🎩 neverseen"
    assert min(ids) >= len(SPECIAL)


def test_byte_pairs_are_learned_the_same_every_time() -> None:
    """A resumed or repeated run must have the vocabulary of the first."""
    assert learn("bpe", TEXTS, size=280) == learn("bpe", TEXTS, size=280)
    with pytest.raises(ValueError, match=r"`vocabulary_size` .=100. is too small for bpe"):
        learn("bpe", TEXTS, size=100)


def test_a_text_ends_where_its_end_is_said() -> None:
    """Start and padding are passed over."""
    tokenizer = made("characters")
    ids = tokenizer.encode("two")

    assert tokenizer.decode([START, *ids, PADDING, END, *ids]) == "two"


def test_a_vocabulary_holds_the_commonest_and_is_bounded() -> None:
    """Equally common ones in their order, so that the file of a run does not hang on chance."""
    assert learn("words", ["b a", "b c"], size=6)[0] == (*SPECIAL, "b", "a")


def test_a_vocabulary_that_was_changed_is_refused() -> None:
    with pytest.raises(ValueError, match="does not begin with <pad>"):
        Tokenizer(TargetSpec("caption", "text", tokenizer="words", vocabulary=("a",)))
    with pytest.raises(ValueError, match="the merge 'x y' is not of the vocabulary"):
        Tokenizer(TargetSpec("c", "text", tokenizer="bpe", vocabulary=(*SPECIAL, "x"), merges=("x y",)))

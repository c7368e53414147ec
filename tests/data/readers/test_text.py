"""What counts as a word, which words enter the vocabulary, and which ids a text becomes."""

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtrain.contracts import SignalSpec
from mmtrain.data.readers.text import LONGEST_WORD, TextReader, _chinese
from mmtrain.errors import ConfigError
from tests.components import read


def words(text: str, segment: str = "words") -> list[str]:
    return list(TextReader("text", segment=segment).words(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A red, red Fox!", ["a", "red", "red", "fox"]),
        ("don't stop 'now' it’s 3.5", ["don't", "stop", "now", "it's", "3", "5"]),
        ("snake_case e-mail", ["snake", "case", "e", "mail"]),
        ("Œuvre NAÏVE Straße", ["œuvre", "naïve", "straße"]),
        ("猫が好き cat", ["猫", "が", "好", "き", "cat"]),
        ("고양이가 좋다", ["고양이가", "좋다"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("שָׁלוֹם עולם", ["שָׁלוֹם", "עולם"]),
        ("ｆｕｌｌ ｶﾞ", ["full", "ガ"]),
        ("\x00bell\x07 \ud83d tail", ["bell", "tail"]),
    ],
)
def test_words_of_many_scripts(text: str, expected: list[str]):
    """Scripts with spaces keep whole words, marks included; Han and Kana give one word a character."""
    assert words(text) == expected


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.text(st.sampled_from("aZ0_' -.\n\t")))
def test_words_of_ascii_are_those_of_any_other_text(text: str):
    """A Chinese character at the end, and nothing changes before it."""
    reader = TextReader("text")
    assert [*reader.words(text), "水"] == list(reader.words(f"{text} 水"))


def test_characters_are_all_that_can_be_printed():
    """Spaces and punctuation count; any white space is one space, what has no shape is left out."""
    assert words("Hi,\n\tyou 猫🙂\x00\u200b!", "characters") == [*"hi, you 猫🙂!"]


def test_chinese_words_are_found_by_a_dictionary():
    """Other scripts in the same text are cut as by default."""
    assert words("我来到北京清华大学，don't stop 2026年", "chinese") == [
        *("我", "来到", "北京", "清华大学"), *("don't", "stop", "2026", "年")
    ]  # fmt: skip


def test_a_missing_jieba_is_told_with_its_extra(monkeypatch):
    _chinese.cache_clear()
    monkeypatch.setitem(sys.modules, "jieba", None)

    with pytest.raises(ConfigError, match=r"pip install 'mmtrain\[chinese\]'"):
        TextReader("text", segment="chinese")


def test_composed_and_decomposed_letters_are_the_same_word():
    """An e with an accent is one word, whether stored as one code point or as two."""
    assert words("caf\u00e9") == words("cafe\u0301")


def test_the_vocabulary_is_ordered_by_count_then_alphabet():
    """Ids follow how common a word is, so that they do not hang on the order of the rows."""
    texts = ["b a c", "c b", "c d"]

    spec = TextReader("text").fit(texts)

    assert spec.vocabulary == ("<pad>", "<unknown>", "c", "b", "a", "d")
    assert TextReader("text").fit(reversed(texts)) == spec


def test_the_vocabulary_keeps_the_commonest_words_within_its_size():
    """Five entries are padding, unknown and three words."""
    spec = TextReader("text", vocabulary_size=5).fit(["a a a b b c c d"])

    assert spec.vocabulary == ("<pad>", "<unknown>", "a", "b", "c")


def test_a_rare_word_is_unknown():
    """With `min_count=2` a word seen once reads as id 1."""
    reader = TextReader("text", min_count=2)
    reader.fit(["red red blue"])

    assert read(reader, "red blue").tolist() == [2, 1]


def test_a_text_is_cut_at_its_start_window():
    """Only the first `max_length` words are kept."""
    reader = TextReader("text", max_length=2)
    reader.fit(["a b c"])

    assert read(reader, "c b a").tolist() == [4, 3]


@pytest.mark.parametrize("text", ["", "  \n", "🙂🙂", "?!", "\ud800"])
def test_a_text_without_words_is_one_unknown_word(text: str):
    """The row is there, though it says nothing; it must not look like an absent one."""
    reader = TextReader("text")
    reader.fit(["word"])

    ids = read(reader, text)

    assert ids.tolist() == [1]
    assert ids.dtype == torch.int64


def test_case_can_be_kept():
    """Without `lowercase`, US and us are two words."""
    spec = TextReader("text", lowercase=False).fit(["US us"])

    assert spec.vocabulary[2:] == ("US", "us")


def test_an_endless_word_never_enters_the_vocabulary():
    """A base64 blob would make the vocabulary file as long as the data."""
    reader = TextReader("text")
    spec = reader.fit(["x" * (LONGEST_WORD + 1) + " fine"])

    assert spec.vocabulary[2:] == ("fine",)
    assert read(reader, "x" * 100_000).tolist() == [1]


def test_a_restored_reader_reads_as_the_fitted_one():
    """Vocabulary and length come from the spec, whatever the constructor said."""
    fitted = TextReader("text", max_length=3)
    spec = fitted.fit(["one two three four"])
    restored = TextReader("text", max_length=50)

    restored.restore(spec)

    text = "four two one five three"
    assert read(restored, text).tolist() == read(fitted, text).tolist()


def test_no_usable_word_is_refused():
    """A vocabulary of nothing cannot be trained on."""
    with pytest.raises(ValueError, match="no word occurs `min_count` \\(=2\\) times"):
        TextReader("text", min_count=2).fit(["all words differ"])


def test_bytes_are_refused():
    """The content of a file is not a sentence."""
    with pytest.raises(ValueError, match="expected text"):
        list(TextReader("text").words(b"word"))


def test_a_foreign_vocabulary_is_refused():
    """Ids 0 and 1 have a meaning that encoders rely on."""
    with pytest.raises(ValueError, match="must begin with <pad>"):
        TextReader("text").restore(SignalSpec("text", "text", length=4, vocabulary=("a", "b")))

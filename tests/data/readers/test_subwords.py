"""Subwords learned or pretrained: the ids of a text, what the run keeps, and what is refused."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tokenizers
import torch
from tokenizers import models, pre_tokenizers, processors

from mmtrain.contracts import DataSpec
from mmtrain.data.readers.bpe import BytePairReader
from mmtrain.data.readers.pretrained import PretrainedReader
from mmtrain.data.spec_file import load_spec, save_spec
from mmtrain.errors import ConfigError
from tests.components import read

TEXTS = ["low low low low low", "lower lower", "newest newest newest newest newest newest", "widest widest widest"]
"""The example of Sennrich et al. 2016."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tokenizer of words with marks around a text, padding and truncation set, as transformers saves one."""
    vocabulary = {"[PAD]": 0, "a": 1, "b": 2, "[CLS]": 4, "[SEP]": 5, "[UNK]": 6, "line\nbreak": 7}
    tokenizer = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["[PAD]", "[CLS]", "[SEP]", "[UNK]"])
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 4), ("[SEP]", 5)])
    tokenizer.enable_padding(length=9)
    tokenizer.enable_truncation(3)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def tokens(reader: BytePairReader, text: str) -> list[str]:
    vocabulary = reader.fit(TEXTS).vocabulary
    return [vocabulary[number] for number in read(reader, text).tolist()]


def test_pairs_are_merged_by_how_common_they_are():
    """`es`, `est`, ` low` and ` newest` are learned; `lowest` was never seen, its parts were. The dot is a space."""
    reader = BytePairReader("text", vocabulary_size=272)

    assert tokens(reader, "newest") == ["Ġnewest"]
    assert tokens(reader, "lowest") == ["Ġlow", "est"]


def test_no_text_holds_anything_unknown():
    """Any script falls apart into bytes: three for a Han character. The mark of padding in a text is text."""
    reader = BytePairReader("text", vocabulary_size=300)

    assert len(tokens(reader, "猫")) == 4
    assert all(number > 1 for text in ("猫🙂\x00", "<pad>", "half \ud83d") for number in read(reader, text).tolist())


def test_an_empty_text_is_one_unknown_subword():
    reader = BytePairReader("text")
    reader.fit(TEXTS)

    ids = read(reader, "")

    assert (ids.tolist(), ids.dtype) == ([1], torch.int64)


def test_lowercase_and_length_are_options():
    reader = BytePairReader("text", lowercase=True, max_length=2)
    reader.fit(TEXTS)

    assert read(reader, "LOW LOW LOW").tolist() == read(reader, "low low low").tolist()
    assert len(read(reader, "low low low")) == 2


def test_equal_texts_give_equal_subwords_in_any_order():
    """Ties between pairs are broken by id, not by what a hash map holds first."""
    learned = {BytePairReader("text", vocabulary_size=290).fit(texts).tokenizer for texts in (TEXTS, TEXTS[::-1]) * 4}

    assert len(learned) == 1


def test_a_pretrained_tokenizer_reads_as_it_does_elsewhere(folder: Path):
    """Marks around the text, its own unknown id, and our length in place of its own; no padding."""
    reader = PretrainedReader("text", tokenizer=str(folder), max_length=5)
    spec = reader.fit([])

    assert read(reader, "a b").tolist() == [4, 1, 2, 5]
    assert read(reader, "a what a b a").tolist() == [4, 1, 6, 1, 5]
    assert spec.length == 5
    assert spec.special == (6, 0, 4, 5)
    assert spec.vocabulary == ("[PAD]", "a", "b", "<unused 3>", "[CLS]", "[SEP]", "[UNK]", r"line\nbreak")


def test_a_run_keeps_all_that_reading_needs(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    """The folder of the tokenizer may be gone afterwards; learned subwords are kept likewise."""
    run = tmp_path_factory.mktemp("run")
    readers = [PretrainedReader("text", tokenizer=str(folder)), BytePairReader("text_2", vocabulary_size=280)]
    specs = [reader.fit(TEXTS) for reader in readers]
    save_spec(run, DataSpec({spec.name: spec for spec in specs}, {}))
    (folder / "tokenizer.json").unlink()

    loaded = load_spec(run).signals
    again = [PretrainedReader("text", tokenizer="gone"), BytePairReader("text_2")]
    for reader in again:
        reader.restore(loaded[reader.name])

    assert list(loaded.values()) == specs
    for reader, other in zip(readers, again, strict=True):
        assert torch.equal(read(other, "a lower b"), read(reader, "a lower b"))


def test_a_tokenizer_that_was_changed_is_refused(folder: Path):
    reader = PretrainedReader("text", tokenizer=str(folder))
    spec = reader.fit([])

    with pytest.raises(ValueError, match="`text` has another vocabulary than the spec"):
        reader.restore(replace(spec, vocabulary=spec.vocabulary[:-1]))
    with pytest.raises(ValueError, match="no tokenizer that `tokenizers` can read"):
        reader.restore(replace(spec, tokenizer='{"model": 1}'))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bert-base-nowhere", r"`reader\.text\.tokenizer` \(=bert-base-nowhere\): no such folder.*reader/text=bpe"),
        ("./no/such/folder", "no such folder.*reader/text=bpe"),
        ("empty", "no tokenizer.json in this folder; name a folder that holds tokenizer.json"),
        ("broken", "tokenizer.json: no tokenizer that `tokenizers` can read"),
    ],
)
def test_a_tokenizer_that_is_not_there_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
):
    """Without a network nothing is waited for."""
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("broken").mkdir()
    Path("broken/tokenizer.json").write_text("{}")

    with pytest.raises(ConfigError, match=message) as raised:
        PretrainedReader("text", tokenizer=name).fit([])

    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("make", [BytePairReader, lambda name: PretrainedReader(name, tokenizer="x")])
def test_a_missing_library_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch, make):
    monkeypatch.setitem(sys.modules, "tokenizers", None)

    with pytest.raises(ConfigError, match=r"pip install 'mmtrain\[hf\]'"):
        make("text")


def test_bytes_are_refused():
    with pytest.raises(ValueError, match="expected text"):
        BytePairReader("text").fit([b"word"])

"""Texts become tokens; all the texts of a cell reach the metrics as they were written."""

import pytest

from mmtrain.data.targets.text import TextTarget
from mmtrain.tokenizer import SPECIAL


def test_a_text_is_read_as_ids_and_kept_as_written():
    """Two words after the four special tokens, the commonest first; an unknown one is 1."""
    reader = TextTarget("caption")
    spec = reader.fit(["a  cat", "a"])

    assert spec.vocabulary == (*SPECIAL, "a", "cat")
    target = reader.encode("A cat a")
    assert [ids.tolist() for ids in target.ragged] == [[1, 5, 4]]
    assert target.references == [("A cat a",)]


def test_of_several_texts_the_key_draws_one():
    """All are references; without a key it is the first."""
    reader = TextTarget("caption", references="|")
    reader.fit(["x | y"])

    drawn = [reader.encode("x | y", key).ragged[0].tolist() for key in (None, 0, 1, 2)]
    assert drawn == [[4], [4], [5], [4]]
    assert reader.encode("x | y").references == [("x", "y")]


def test_an_empty_separator_is_refused():
    with pytest.raises(ValueError, match="`references` is empty"):
        TextTarget("says", references="")


def test_a_row_without_text_has_no_token_and_no_reference():
    target = TextTarget("caption").absent()

    assert (target.ragged[0].tolist(), target.mask.tolist(), list(target.references)) == ([], [False], [()])


@pytest.mark.parametrize(
    ("options", "cell", "message"),
    [
        ({"max_length": 1}, "a b", r"'a b' has 2 tokens, over `max_length` \(=1\)"),
        ({"tokenizer": "characters"}, "abc", "'abc' holds the character 'c', which no training row has"),
        ({"references": "|"}, "a||b", "has an empty part"),
        ({"references": "json"}, "[]", "the list of texts is empty"),
    ],
)
def test_a_text_that_cannot_be_learned_or_judged_is_refused(options: dict, cell: str, message: str):
    reader = TextTarget("caption", **options)
    reader.fit(['["ab"]' if options.get("references") == "json" else "ab"])

    with pytest.raises(ValueError, match=message):
        reader.encode(cell)

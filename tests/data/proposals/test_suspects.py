"""Columns that give the target away, found on rows that were not looked at to learn how."""

from __future__ import annotations

from mmtrain.data.proposals.inference import infer
from mmtrain.data.proposals.suspects import suspects

ROWS = range(400)


def found(target: list[str], **columns: list[str]) -> dict[str, str]:
    cells = {**columns, "label": target}
    inferred = [infer(name, column, lambda cell: None) for name, column in columns.items()]
    return suspects(inferred, cells, infer("label", target, lambda cell: None))


def test_a_finer_class_tells_the_target():
    """Each of 40 breeds belongs to one of 4 animals; a size that half fits does not tell."""
    animals = [f"animal {row % 4}" for row in ROWS]
    told = found(animals, breed=[f"breed {row % 40}" for row in ROWS], size=[f"size {row % 2}" for row in ROWS])
    assert told == {"breed": "it tells `label` in 100.0% of held-out rows"}


def test_a_value_that_stands_in_the_target_tells_it():
    """As one of the tags, or as whole words of a text; `art` does not stand in `cart`."""
    tags = [f"a{row % 7}|b{row % 5}" for row in ROWS]
    assert found(tags, first=[f"a{row % 7}" for row in ROWS]) == {
        "first": "its value stands in `label` in 100% of rows"
    }
    texts = [f"a cart and house {row % 50} of wood" for row in ROWS]
    parts = {"part": [f"House {row % 50}" for row in ROWS], "word": ["art", "ca"] * 200}
    assert list(found(texts, **parts)) == ["part"]


def test_columns_that_tell_the_target_together_are_told_together():
    """label = (a + b) mod 5 is in neither; a third column adds nothing and is not blamed."""
    a, b = [row % 5 for row in ROWS], [row // 5 % 4 for row in ROWS]
    told = found(
        [str((x + y) % 5) for x, y in zip(a, b, strict=True)],
        a=[str(x) for x in a],
        b=[str(y) for y in b],
        c=[str(row // 20 % 2) for row in ROWS],
    )
    assert told == dict.fromkeys("ab", "a and b together tell `label` in 100.0% of held-out rows")


def test_where_nearly_all_rows_have_one_label_anything_would_tell_it():
    """A column that is right in 98% of rows because 98% are `no` tells nothing."""
    rare = ["yes" if row % 50 == 0 else "no" for row in ROWS]
    assert found(rare, colour=["red", "blue"] * 200) == {}
    assert list(found(rare, copy=["1" if label == "yes" else "0" for label in rare])) == ["copy"]


def test_equal_digits_are_no_proof():
    """A digit equals a label of ten digits in a tenth of the rows by chance."""
    assert found([str(row % 10) for row in ROWS], digit=[str(row * 7 // 10 % 10) for row in ROWS]) == {}


def test_texts_of_many_values_are_features():
    """A sentence may say the label; it is what a model shall read."""
    assert found(["cat", "dog"] * 200, note=[f"this is the {['cat', 'dog'][r % 2]} number {r}" for r in ROWS]) == {}

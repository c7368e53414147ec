"""Labels and tags become numbers, exactly as written."""

import pytest

from mmtrain.data.targets.classes import ClassTarget, MultilabelTarget, without_rows
from mmtrain.target import TargetSpec


def test_classes_are_sorted_and_counted():
    """Their order does not hang on the order of the rows."""
    spec = ClassTarget("label").fit(["dog", "cat", "dog"])

    assert spec == TargetSpec("label", "class", ("cat", "dog"), (1, 2))


def test_labels_stay_strings():
    """Here 012 and 12, yes and true are four classes."""
    reader = ClassTarget("label")

    assert reader.fit(["12", "012", "yes", "true", "1e5"]).classes == ("012", "12", "1e5", "true", "yes")
    assert reader.encode("12").tensor.tolist() == [1]


def test_an_unknown_label_names_the_nearest():
    """A slip of the pen is found at once."""
    reader = ClassTarget("label")
    reader.fit(["forward", "backward"])

    with pytest.raises(ValueError, match=r"'foward' is none of the 2 classes of `label`\. Did you mean `forward`"):
        reader.encode("foward")


@pytest.mark.parametrize(("values", "found"), [([], "none"), (["a", "a"], "only 'a'")])
def test_one_class_is_refused(values: list[str], found: str):
    """There would be nothing to learn."""
    with pytest.raises(ValueError, match=f"needs two classes at least in the training rows, found {found}"):
        ClassTarget("label").fit(values)


def test_a_restored_reader_encodes_by_the_spec():
    """The numbers of a stored run, not of the new rows."""
    reader = ClassTarget("label")

    reader.restore(TargetSpec("label", "class", ("z", "a"), (1, 1)))

    assert reader.encode("z").tensor.tolist() == [0]


def test_an_absent_target_is_masked():
    """With a legal number below it."""
    target = ClassTarget("label").absent()

    assert (target.tensor.tolist(), target.mask.tolist()) == ([0], [False])


def test_tags_are_counted_by_row():
    """A tag that a cell names twice counts once; the blanks around the separator belong to it."""
    reader = MultilabelTarget("tags")

    spec = reader.fit(["red | big", "red|red", "012"])

    assert spec == TargetSpec("tags", "multilabel", ("012", "big", "red"), (1, 1, 2), rows=3)
    assert reader.encode("red|012").tensor.tolist() == [[1, 0, 1]]
    assert reader.absent().mask.tolist() == [False]


def test_a_json_list_keeps_its_strings_and_may_be_empty():
    """What holds the separator, or blanks at its ends, needs no other way of writing."""
    reader = MultilabelTarget("tags", separator="json")
    reader.fit(['["a|b", " c"]', "[]"])

    assert reader.encode('[" c"]').tensor.tolist() == [[1, 0]]
    assert reader.encode("[]").tensor.tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("separator", "cell", "message"),
    [
        ("|", "a||b", r"'a\|\|b' has an empty part"),
        (",", "a,", "has an empty part"),
        ("json", "a", "'a' is no JSON"),
        ("json", '{"a": 1}', "is no list"),
        ("json", "[1]", r"holds 1\.0, which is no string"),
        ("json", '[" "]', "has an empty part"),
    ],
)
def test_a_cell_that_is_no_list_of_tags_is_refused(separator: str, cell: str, message: str):
    """Before anything is learned."""
    with pytest.raises(ValueError, match=message):
        MultilabelTarget("tags", separator=separator).check(cell)


def test_an_empty_separator_is_refused():
    """Of a setting, not of every cell."""
    with pytest.raises(ValueError, match="`separator` is empty"):
        MultilabelTarget("tags", separator="")


def test_rare_tags_are_left_out_where_that_was_asked_for():
    """The remark counts them; a tag of a later row that training rows do not have is left out too."""
    reader = MultilabelTarget("tags", min_count=2)

    assert reader.fit(["a|b", "a"]).classes == ("a",)
    assert reader.remarks == ["1 of 2 tags of `tags` are left out: fewer than 2 training rows have them (`min_count`)"]
    assert reader.encode("b|never seen").tensor.tolist() == [[0]]


def test_an_unknown_tag_is_refused_otherwise():
    reader = MultilabelTarget("tags")
    reader.fit(["animal", "plant"])

    with pytest.raises(ValueError, match=r"no training row has the tag 'animals' of `tags`\. Did you mean `animal`"):
        reader.encode("plant|animals")
    with pytest.raises(ValueError, match=r"no tag of `tags` is on `min_count` .=5. training rows: the commonest has 1"):
        MultilabelTarget("tags", min_count=5).fit(["a"])


def test_tags_without_rows_are_named():
    """Nothing can be said of how well they are found."""
    reader = MultilabelTarget("tags")
    spec = reader.fit(["a|b|c"])

    assert without_rows(spec, [reader.encode("b"), reader.encode("b|c")]) == "1 of 3 tags of `tags`: a"
    assert without_rows(spec, [reader.encode("a|b|c")]) is None

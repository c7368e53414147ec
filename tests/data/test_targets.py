"""Labels become numbers, exactly as written."""

import pytest

from mmtrain.contracts import TargetSpec
from mmtrain.data.targets import ClassTarget, target_reader


def test_classes_are_sorted_and_counted():
    """Their order does not hang on the order of the rows."""
    spec = ClassTarget("label").fit(["dog", "cat", "dog"])

    assert spec == TargetSpec("label", "class", ("cat", "dog"), (1, 2))


def test_labels_stay_strings():
    """Here 012 and 12, yes and true are four classes."""
    reader = ClassTarget("label")

    assert reader.fit(["12", "012", "yes", "true"]).classes == ("012", "12", "true", "yes")
    assert reader.encode("12") == 1


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

    assert reader.encode("z") == 0


def test_a_missing_target_is_masked():
    """None gives a False in the mask and a legal number below it."""
    target = ClassTarget("label").collate([2, None])

    assert target.values.tolist() == [2, 0]
    assert target.mask.tolist() == [True, False]


def test_an_unknown_kind_is_refused():
    """The message lists those there are."""
    assert target_reader("class", "label").kind == "class"
    with pytest.raises(ValueError, match="target `label` has kind 'boxes'; known kinds: class"):
        target_reader("boxes", "label")

"""A kind's name leads to its reader."""

import pytest

from mmtrain.data.targets.kinds import target_reader


@pytest.mark.parametrize("kind", ["class", "multilabel", "number", "text", "boxes"])
def test_a_reader_is_found_by_its_kind(kind: str):
    assert target_reader(kind, "label").kind == kind


def test_an_unknown_kind_is_refused():
    """The message lists those there are."""
    with pytest.raises(ValueError, match="target `label` has kind 'mask'; known kinds: class, multilabel"):
        target_reader("mask", "label")

"""What is collected batch by batch comes back whole, in any order, whatever its form."""

from __future__ import annotations

import torch

from mmtrain.rows import joined, joined_targets, taken, taken_targets, tensors
from mmtrain.target import Target

TEXT = Target(
    [torch.tensor([4, 5]), torch.tensor([], dtype=torch.int64)], torch.tensor([True, False]), [("a b", "ab"), ()]
)


def test_rows_of_every_form_are_joined_and_taken() -> None:
    """A tensor, one entry a row, and both by name."""
    parts = [{"logits": torch.tensor([[1.0], [2.0]]), "text": ["a", "b"]}, {"logits": torch.ones(1, 1), "text": ["c"]}]
    rows = taken(joined(parts), [2, 0])

    assert isinstance(rows, dict)
    assert rows["text"] == ["c", "a"]
    assert torch.equal(rows["logits"], torch.tensor([[1.0], [1.0]]))  # type: ignore[arg-type]


def test_targets_of_rows_that_differ_in_size_keep_their_texts() -> None:
    target = taken_targets(joined_targets([TEXT, TEXT]), [3, 0])

    assert [row.tolist() for row in target.ragged] == [[], [4, 5]]
    assert target.mask.tolist() == [False, True]
    assert target.references == [(), ("a b", "ab")]


def test_every_tensor_of_a_target_is_moved() -> None:
    moved = TEXT.each(lambda tensor: tensor.to("meta"))

    assert {tensor.device.type for tensor in [*moved.ragged, moved.mask]} == {"meta"}
    assert moved.references == TEXT.references


def test_every_tensor_of_nested_outputs_is_found() -> None:
    one, two, three = torch.zeros(1), torch.zeros(2), torch.zeros(3)

    assert [len(tensor) for tensor in tensors({"a": one, "b": (two, {"c": three})})] == [1, 2, 3]

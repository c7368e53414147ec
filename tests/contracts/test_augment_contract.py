"""What every augmentation owes: it follows from its key, keeps shape and type, and leaves what it was given."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.components import SPECS, Shipped


def decoded(kind: str) -> Tensor:
    """A sample as a reader of the kind decodes it."""
    generator = torch.Generator().manual_seed(0)
    if kind == "text":
        return torch.randint(2, 12, (40,), generator=generator)
    if kind == "image":
        return torch.randint(0, 256, (3, 10, 13), dtype=torch.uint8, generator=generator)
    return torch.randn(1003, generator=generator) * 0.1


def test_yaml_sets_every_argument_to_a_value_of_the_constructor(augment: Shipped):
    """`trivial` and `rand` are `standard` but for the policy."""
    given = {key: value for key, value in augment.node.items() if key != "_target_"}
    policy = {"policy": augment.path.stem} if augment.path.stem in ("trivial", "rand") else {}

    assert given == augment.defaults | policy


def test_equal_keys_change_a_sample_equally(augment: Shipped):
    """In another process too: nothing but the key and the sample is read."""
    change, again = augment.build(SPECS[augment.kind]), augment.build(SPECS[augment.kind])
    sample = decoded(augment.kind)

    assert all(torch.equal(change(sample, key), again(sample, key)) for key in (0, 2**63 - 1))


def test_other_keys_change_it_otherwise(augment: Shipped):
    change, sample = augment.build(SPECS[augment.kind]), decoded(augment.kind)

    different = len({change(sample, key).numpy().tobytes() for key in range(8)})

    assert different == 1 if augment.path.stem == "none" else different > 5


def test_shape_and_type_are_kept_and_the_sample_is_not_touched(augment: Shipped):
    """The decoded sample may be the page of a cache."""
    change, sample = augment.build(SPECS[augment.kind]), decoded(augment.kind)
    before = sample.clone()

    for key in range(8):
        changed = change(sample, key)
        assert (changed.shape, changed.dtype) == (sample.shape, sample.dtype)
    assert torch.equal(sample, before)


def test_the_global_generator_is_left_alone(augment: Shipped):
    change, state = augment.build(SPECS[augment.kind]), torch.get_rng_state()

    change(decoded(augment.kind), 1)

    assert torch.equal(torch.get_rng_state(), state)

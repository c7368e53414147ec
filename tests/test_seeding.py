"""Keys depend on their parts alone, and seeding inside a block leaves no trace outside."""

from __future__ import annotations

import random

import numpy as np
import torch

from mmtrain.seeding import generator, key, seed_step, seeded


def test_keys_are_those_of_sha256() -> None:
    """The first 63 bits of the hash of `1|2|order`, on every machine and in every version."""
    assert key(1, 2, "order") == 6273993369970717839


def test_keys_that_sums_would_confuse_differ() -> None:
    """seed 1, epoch 2 and seed 2, epoch 1 have the same sum but not the same key."""
    assert len({key(1, 2), key(2, 1), key(12), key("1|2 ")}) == 4


def test_generator_repeats() -> None:
    """The same parts give the same numbers."""
    assert torch.equal(torch.rand(3, generator=generator(1, "a")), torch.rand(3, generator=generator(1, "a")))


def test_a_seeded_block_leaves_the_global_generators_alone() -> None:
    """torch, numpy and random go on as if the block had not been there, and inside it they repeat."""

    def draws() -> tuple[float, float, float]:
        return torch.rand(()).item(), float(np.random.rand()), random.random()

    torch.manual_seed(0), np.random.seed(0), random.seed(0)
    without = draws()
    torch.manual_seed(0), np.random.seed(0), random.seed(0)
    with seeded(5):
        inside = draws()
    with seeded(5):
        again = draws()

    assert draws() == without
    assert inside == again


def test_a_seeded_step_draws_what_torch_seeded_alike_draws() -> None:
    """The quicker way to seed gives the same numbers."""
    with torch.random.fork_rng(devices=[]):
        seed_step(torch.device("cpu"), 1, "step")
        ours = torch.rand(3)
        torch.manual_seed(key(1, "step"))

        assert torch.equal(ours, torch.rand(3))

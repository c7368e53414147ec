"""Plans are pure functions: every row once, the same order again, equal shares."""

from itertools import chain

import pytest
import torch

from mmtrain.contracts import Draw
from mmtrain.data.plan import sequential, share, uniform

ROWS = list(range(100, 110))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 10, 99])
def test_an_epoch_draws_every_row_once(batch_size: int):
    """The last partial batch is kept."""
    plan = uniform(ROWS, seed=0, epoch=0, batch_size=batch_size)

    assert sorted(draw.row for batch in plan for draw in batch) == ROWS


def test_a_plan_is_the_same_again_whatever_happened_between():
    """Nothing global is read or moved."""
    first = uniform(ROWS, seed=3, epoch=5, batch_size=4)
    state = torch.get_rng_state()

    again = uniform(ROWS, seed=3, epoch=5, batch_size=4)

    assert again == first
    assert torch.equal(torch.get_rng_state(), state)


def test_seed_and_epoch_change_order_and_keys():
    """Three plans, three orders, and not one key in common."""
    plans = [uniform(ROWS, seed=seed, epoch=epoch, batch_size=10)[0] for seed, epoch in ((0, 0), (0, 1), (1, 0))]

    assert len({tuple(draw.row for draw in plan) for plan in plans}) == 3
    assert len({draw.key for plan in plans for draw in plan}) == 30


def test_batch_size_changes_neither_order_nor_keys():
    """A row's augmentation does not depend on how the epoch is cut."""
    small, large = (uniform(ROWS, seed=0, epoch=0, batch_size=size) for size in (3, 7))

    assert list(chain(*small)) == list(chain(*large))


def test_a_last_batch_of_one_joins_the_one_before():
    """Ten rows by three: 3, 3 and 4, since batch statistics need two rows."""
    assert [len(batch) for batch in uniform(ROWS, seed=0, epoch=0, batch_size=3)] == [3, 3, 4]


def test_batches_of_one_stay_apart():
    """Where all are single, so is the last."""
    assert [len(batch) for batch in uniform(ROWS[:3], seed=0, epoch=0, batch_size=1)] == [1, 1, 1]
    assert [len(batch) for batch in uniform(ROWS[:1], seed=0, epoch=0, batch_size=4)] == [1]


def test_evaluation_keeps_the_order():
    """Rows as given, with key 0."""
    assert sequential([7, 5, 6], batch_size=2) == [[Draw(7, 0), Draw(5, 0)], [Draw(6, 0)]]


@pytest.mark.parametrize("parts", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [1, 2, 5, 8])
def test_shares_are_equal_and_hold_every_row_once(parts: int, size: int):
    """What fills a share up has weight 0; taken together the real rows are the batch."""
    batch = [Draw(row, row) for row in range(size)]

    shares = [share(batch, parts=parts, part=part) for part in range(parts)]

    assert {len(mine) for mine in shares} == {-(-size // parts)}
    assert sorted(draw for mine in shares for draw in mine if draw.weight) == batch
    assert all(draw == Draw(0, 0, 0.0) for mine in shares for draw in mine if not draw.weight)

"""Which training rows each plan draws: pure functions of seed and epoch, with counts one can check by hand."""

from collections import Counter
from itertools import chain

import pytest
import torch

from mmtrain.contracts import DataSpec, SignalSpec, TargetSpec
from mmtrain.data.dataset import Data
from mmtrain.data.plan import batch_count
from mmtrain.data.plans.balanced import BalancedPlan
from mmtrain.data.plans.bucketed import BucketedPlan
from mmtrain.data.plans.sharded import ShardedPlan
from mmtrain.data.plans.uniform import UniformPlan
from mmtrain.errors import DataError

PLANS = {
    "uniform": lambda data: UniformPlan(data),
    "balanced": lambda data: BalancedPlan(data),
    "bucketed": lambda data: BucketedPlan(data, window=2),
    "sharded": lambda data: ShardedPlan(data, window=5),
}


class LetterReader:
    """Reads a letter a step; `?` cannot be read."""

    kind = "text"

    def decode(self, cell):
        if "?" in cell:
            raise ValueError("a question")
        return torch.tensor(list(map(ord, cell)))


class HeaderReader(LetterReader):
    """Knows the length without decoding."""

    def measure(self, cell):
        return len(cell)

    def decode(self, cell):
        raise AssertionError("decoded")


@pytest.fixture
def make_data(make_source):
    """`make_data(texts, labels)`: rows to train on, then one to validate; ten rows a shard."""

    def make_data(texts=None, labels=None, *, reader=LetterReader, on_bad_sample="error", sharded=True):
        texts = ["abcdefghij"[: 1 + row % 7] for row in range(30)] if texts is None else texts
        labels = ["x" if row % 5 else "y" for row in range(len(texts))] if labels is None else labels
        rows = [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)]
        source = make_source([*rows, {"text": "z", "label": "x", "split": "val"}], {"text": "text"})
        if sharded:
            source.shards = [range(start, min(start + 10, len(rows) + 1)) for start in range(0, len(rows) + 1, 10)]
        spec = DataSpec(
            {"text": SignalSpec("text", "text", length=9), "image": SignalSpec("image", "image", shape=(1,))},
            {"label": TargetSpec("label", "class", ("x", "y")), "size": TargetSpec("size", "number")},
        )
        return Data(source, {"text": reader()}, {}, spec, on_bad_sample)

    return make_data


def rows_of(plan, **options) -> list[int]:
    return [draw.row for draw in chain(*plan(**{"seed": 0, "epoch": 0, "batch_size": 4, **options}))]


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("batch_size", [1, 3, 4, 29, 64])
def test_a_plan_is_a_pure_function_with_the_batches_it_announces(make_data, name, batch_size):
    """Made anew from the same data, after other epochs were asked for, it gives the same batches."""
    plan, again = PLANS[name](make_data()), PLANS[name](make_data())
    state = torch.get_rng_state()

    batches = plan(seed=1, epoch=3, batch_size=batch_size)

    again(seed=1, epoch=7, batch_size=batch_size)
    assert again(seed=1, epoch=3, batch_size=batch_size) == batches
    assert len(batches) == batch_count(plan.rows, batch_size)
    assert sum(map(len, batches)) == plan.rows == 30
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", PLANS)
def test_seed_and_epoch_change_the_order_and_every_key(make_data, name):
    plan = PLANS[name](make_data())
    epochs = [list(chain(*plan(seed=s, epoch=e, batch_size=4))) for s, e in ((0, 0), (0, 1), (1, 0))]

    assert len({tuple(draw.row for draw in draws) for draws in epochs}) == 3
    assert len({draw.key for draws in epochs for draw in draws}) == 90


@pytest.mark.parametrize("name", ["uniform", "bucketed", "sharded"])
def test_every_training_row_comes_once_an_epoch(make_data, name):
    """Never the row that validates."""
    assert sorted(rows_of(PLANS[name](make_data()))) == list(range(30))


def test_classes_are_drawn_equally_often(make_data):
    """Of 24 rows of x and 6 of y, 15 each are drawn; no row of y a third time before each came twice."""
    data = make_data()

    counts = Counter(rows_of(BalancedPlan(data)))

    assert sum(counts[row] for row in range(0, 30, 5)) == 15
    assert {counts[row] for row in range(0, 30, 5)} == {2, 3}
    assert max(counts[row] for row in range(30) if row % 5) == 1


def test_over_epochs_every_row_of_a_class_comes_equally_often(make_data):
    """24 rows of x drawn 15 times an epoch: after eight epochs each came five times."""
    plan = BalancedPlan(make_data())

    counts = Counter(row for epoch in range(8) for row in rows_of(plan, epoch=epoch))

    assert {counts[row] for row in range(30) if row % 5} == {5}
    assert {counts[row] for row in range(0, 30, 5)} == {20}


def test_what_does_not_divide_falls_to_each_class_in_turn(make_data):
    """Three draws for two classes: over four epochs six each."""
    plan = BalancedPlan(make_data(), rows=3)

    drawn = [rows_of(plan, epoch=epoch) for epoch in range(4)]

    assert [len(rows) for rows in drawn] == [3] * 4
    assert sum(row % 5 == 0 for rows in drawn for row in rows) == 6


def test_rows_without_the_target_are_not_drawn(make_data):
    plan = BalancedPlan(make_data(["a"] * 4, ["x", None, "y", None]))

    assert sorted(rows_of(plan)) == [0, 0, 2, 2]


def test_batches_hold_rows_of_like_length(make_data):
    """In one window of all rows, lengths differ by one at most within a batch; the batches are not in order."""
    plan = BucketedPlan(make_data(), window=8)

    lengths = [[1 + draw.row % 7 for draw in batch] for batch in plan(seed=0, epoch=0, batch_size=4)]

    assert max(max(batch) - min(batch) for batch in lengths) == 1
    assert lengths != sorted(lengths)


def test_a_reader_that_knows_the_length_is_not_made_to_decode(make_data):
    data = make_data(reader=HeaderReader)

    assert rows_of(BucketedPlan(data)) == rows_of(BucketedPlan(make_data()))


def test_a_row_without_the_modality_has_length_0(make_data):
    """Two of four rows lack it, so they share a batch."""
    batches = BucketedPlan(make_data(["abc", None, "abcd", None]))(seed=0, epoch=0, batch_size=2)

    assert sorted(sorted(draw.row for draw in batch) for batch in batches) == [[0, 2], [1, 3]]


def test_a_cell_that_cannot_be_measured_is_named_or_left_to_its_batch(make_data):
    with pytest.raises(DataError, match=r"rows:1 \(text\): a question; mend the file"):
        BucketedPlan(make_data(["abc", "?"]))

    assert BucketedPlan(make_data(["abc", "?"], on_bad_sample="skip")).rows == 2


def test_shards_come_one_after_another(make_data):
    """With a window of 5 rows, the first ten draws are from the first shard and the five rows after it."""
    rows = rows_of(ShardedPlan(make_data(), window=5))
    shard_of_first = rows[0] // 10

    assert sum(row // 10 == shard_of_first for row in rows[:15]) == 10
    assert rows[:10] != sorted(rows[:10])
    assert len({rows_of(ShardedPlan(make_data(), window=5), epoch=epoch)[0] // 10 for epoch in range(9)}) == 3


def test_a_window_beyond_all_rows_mixes_everything(make_data):
    assert sorted(rows_of(ShardedPlan(make_data(), window=1000))) == list(range(30))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda data: BalancedPlan(data, target="size"), r"`size` is none; targets: label \(class\), size \(number\)"),
        (lambda data: BalancedPlan(data, rows=1), r"`rows` \(=1\) must give each of 2 classes a row"),
        (lambda data: BucketedPlan(data, modality="image"), r"`image` is none; there is \['text'\]"),
        (lambda data: ShardedPlan(data), "the data are not in shards; choose plan=uniform"),
    ],
)
def test_a_plan_that_does_not_fit_the_data_is_refused(make_data, make, message):
    with pytest.raises(ValueError, match=message):
        make(make_data(sharded=False))

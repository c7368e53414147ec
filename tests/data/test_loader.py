"""Batches arrive in the order of the plan, the same whoever reads them."""

import multiprocessing
import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import _utils

from mmtrain.contracts import Batch, SignalSpec
from mmtrain.data import loader
from mmtrain.data.dataset import Data
from mmtrain.data.loader import batches
from mmtrain.data.plan import sequential, uniform
from mmtrain.data.targets.kinds import target_reader
from mmtrain.errors import DataError


class MoodyReader:
    """Reads a number; some misbehave."""

    kind = "number"

    def __init__(self, name):
        self.name = name

    def fit(self, cells):
        return SignalSpec(self.name, self.kind, shape=(1,))

    def restore(self, spec):
        pass

    def decode(self, cell):
        if cell == b"13":
            raise ValueError("an unlucky number")
        if cell == b"66":
            os.kill(os.getpid(), signal.SIGKILL)
        if cell == b"15":
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
        if cell == b"77":
            raise RuntimeError("a mistake")
        if cell == b"88":
            threading.Event().wait()
        return torch.tensor([float(cell)])

    def finish(self, values):
        return values


def noise(spec):
    """An augmentation that adds noise that follows from the key."""
    return lambda values, key: values + torch.rand(1, generator=torch.Generator().manual_seed(key))


@pytest.fixture
def make_data(make_source):
    def make_data(numbers, on_bad_sample="error"):
        rows = [{"size": b"%d" % number, "label": "xy"[row % 2]} for row, number in enumerate(numbers)]
        return Data.prepare(
            make_source(rows, {"size": "number"}),
            readers={"size": MoodyReader},
            augments={"size": noise},
            modalities=None,
            targets={"label": target_reader("class", "label")},
            on_bad_sample=on_bad_sample,
        )

    return make_data


def content(batch: Batch) -> tuple[object, ...]:
    signals = batch.signals["size"]
    return batch.ids, signals.values.tolist(), batch.keys.tolist(), batch.weight.tolist(), batch.skipped


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # torch's advice where there are fewer cores
@pytest.mark.parametrize("num_workers", [1, 2, 5])
def test_the_number_of_workers_changes_nothing(make_data, num_workers):
    """Not the order, not the augmentation; more workers than batches are fine."""
    data = make_data(range(10))
    plan = uniform(range(10), seed=0, epoch=0, batch_size=4)

    here = [content(batch) for batch in batches(data, plan, train=True)]
    there = [content(batch) for batch in batches(data, plan, train=True, num_workers=num_workers)]

    assert there == here


@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_global_generator_is_left_alone(make_data, num_workers):
    """Evaluating more or less often must not change the dropout of training."""
    data = make_data(range(4))
    state = torch.get_rng_state()

    list(batches(data, sequential(range(4), batch_size=2), train=False, num_workers=num_workers))

    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_bad_cell_surfaces_in_one_line(make_data, num_workers):
    """The same message from a worker as from here, after the batches before it."""
    data = make_data([0, 1, 13])
    arriving = batches(data, sequential(range(3), batch_size=2), train=False, num_workers=num_workers)

    assert next(arriving).ids == ["s0", "s1"]
    with pytest.raises(DataError, match=r"^rows:2 \(size\): an unlucky number; mend the file, or leave such rows"):
        next(arriving)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_skipped_row_is_reported_with_its_batch(make_data, num_workers):
    """With its id and reason, at weight 0, while the others count."""
    data = make_data([0, 13, 2], on_bad_sample="skip")

    (batch,) = batches(data, sequential(range(3), batch_size=3), train=False, num_workers=num_workers)

    assert batch.skipped == [("s1", "rows:1 (size): an unlucky number")]
    assert batch.weight.tolist() == [1.0, 0.0, 1.0]
    assert batch.rows["size"].tolist() == [0, 2]
    assert batch.targets["label"].mask.tolist() == [True, False, True]


def test_workers_leave_signals_to_the_main_process(make_data):
    """Stopped by SIGTERM or SIGINT, it may need one more batch before it saves."""
    data = make_data([0, 15])

    (batch,) = batches(data, sequential(range(2), batch_size=2), train=False, num_workers=1)

    assert batch.ids == ["s0", "s1"]


def test_a_killed_worker_is_a_data_error(make_data):
    """As when memory runs out: a line with the samples it read, and no process left behind."""
    data = make_data([0, 66])

    with pytest.raises(DataError, match=r"a data worker has died or hangs at the batch of s0, s1.*num_workers=0"):
        list(batches(data, sequential(range(2), batch_size=2), train=False, num_workers=1))

    assert multiprocessing.active_children() == []


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="there is no waitid")
def test_a_worker_that_dies_during_a_training_step_is_a_data_error(make_data):
    """Told with the next batch, not in the middle of the step, nor by the connection that is lost with it."""
    data = make_data([0, 1, 2, 3, 4, 5, 66, 7])
    arriving = batches(data, sequential(range(8), batch_size=2), train=False, num_workers=1)

    for _ in range(2):
        next(arriving)
    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)  # it reads the fourth batch, as the second has been taken
    with pytest.raises(DataError, match=r"a data worker has died or hangs at the batch of s4, s5.*num_workers=0"):
        next(arriving)

    assert multiprocessing.active_children() == []


def test_workers_end_when_the_batches_are_not_read_to_the_end(make_data):
    """A run that stops in the middle of an epoch leaves no process behind."""
    data = make_data(range(8))
    arriving = batches(data, sequential(range(8), batch_size=2), train=False, num_workers=1)
    next(arriving)

    arriving.close()

    assert multiprocessing.active_children() == []


def test_a_mistake_in_a_reader_is_not_taken_for_a_dead_worker(make_data):
    """Whoever wrote the reader needs the traceback."""
    data = make_data([0, 77])

    with pytest.raises(RuntimeError, match="a mistake"):
        list(batches(data, sequential(range(2), batch_size=2), train=False, num_workers=1))


def test_little_shared_memory_is_named_as_the_likely_reason(make_data, monkeypatch):
    """A worker waits for ever where its batch finds no room there; a container often has 64 MB."""
    monkeypatch.setattr(loader.shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    monkeypatch.setattr(loader, "_SHARED", Path("/"))

    with pytest.raises(DataError, match=r"/ has 1 MiB left for batches: enlarge it .*, or set `trainer.num_workers=0`"):
        list(batches(make_data([0, 66]), sequential(range(2), batch_size=2), train=False, num_workers=1))


def test_a_hung_worker_is_given_up(make_data, monkeypatch):
    """It ignores SIGTERM, so that it must be killed, or the process would wait for it at its end."""
    monkeypatch.setattr(loader, "PATIENCE", 0.5)
    monkeypatch.setattr(_utils, "MP_STATUS_CHECK_INTERVAL", 0.1)  # what torch waits for a worker to end by itself
    data = make_data([0, 88])

    with pytest.raises(DataError, match=r"died or hangs at the batch of s0, s1.*timed out"):
        list(batches(data, sequential(range(2), batch_size=2), train=False, num_workers=1))

    assert multiprocessing.active_children() == []


def test_an_empty_plan_gives_no_batch(make_data):
    """A resumed epoch may have nothing left."""
    assert list(batches(make_data(range(2)), [], train=True, num_workers=2)) == []

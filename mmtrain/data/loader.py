"""Batches in the order of a plan, read here or by worker processes.

Workers only save time: what a row becomes follows from its draw, so their number cannot change a batch. They leave
signals to the main process, which may need one more batch before it can save.
"""

from __future__ import annotations

import atexit
import multiprocessing
import shutil
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data._utils import signal_handling

from mmtrain.contracts import Batch, Draw
from mmtrain.data.collate import collate
from mmtrain.data.dataset import Data
from mmtrain.data.mixing import mixed, partners
from mmtrain.errors import DataError, MmtrainError

PATIENCE = 50  # seconds for one batch before a worker counts as hung
_SHARED = Path("/dev/shm")
_LITTLE = 64 * 2**20  # bytes of it; with less, want of it is the likely reason


def batches(
    data: Data, plan: Sequence[list[Draw]], *, train: bool, num_workers: int = 0, pin_memory: bool = False
) -> Iterator[Batch]:
    """The batches of a plan, in its order.

    Args:
        data: Where the rows come from.
        plan: The draws of each batch.
        train: Whether readers may augment.
        num_workers: Processes that read ahead; 0 reads in this one.
        pin_memory: Puts batches where a CUDA device fetches them faster.

    Raises:
        DataError: A cell cannot be read, or a worker has died or hangs.
    """
    rows = _Rows(data, train)
    if not num_workers or not plan:
        for draws in plan:
            batch = rows.batch(draws)
            yield batch.pin_memory() if pin_memory else batch
        return
    others = set(multiprocessing.active_children())
    loader = DataLoader(
        rows,
        batch_sampler=plan,
        num_workers=min(num_workers, len(plan)),
        collate_fn=_unchanged,
        pin_memory=pin_memory,
        timeout=PATIENCE,
        worker_init_fn=_start_worker,
        generator=torch.Generator(),  # without its own, the loader draws a seed from the global generator
    )
    signal_handling._SIGCHLD_handler_set = True  # so that it is not: `_watched` sets one for as long as it is wanted
    arriving = iter(loader)
    end = partial(_end, set(multiprocessing.active_children()) - others)
    atexit.register(end)  # Python waits for its children at exit, and these ignore the SIGTERM it sends them
    try:
        for number in range(len(plan)):
            arrived = _next(arriving, data, plan, number)
            if isinstance(arrived, MmtrainError):
                raise arrived
            yield arrived
    finally:
        del arriving  # asks the workers to end; by reference count, as the traceback of an error may live long
        end()
        atexit.unregister(end)


def _next(
    arriving: Iterator[Batch | MmtrainError], data: Data, plan: Sequence[list[Draw]], number: int
) -> Batch | MmtrainError:
    try:
        with _watched():
            return next(arriving)
    except (RuntimeError, EOFError, ConnectionError) as error:  # the latter: it died while it handed a batch over
        reason = (str(error).splitlines() or ["its connection has ended"])[0]
        ours = reason.startswith("DataLoader") or not isinstance(error, RuntimeError)
        if reason.startswith("Caught") or not ours:  # an error in the worker's own code
            raise
    # Made outside of the block above: as its context, the first error would keep the loader and its workers alive.
    ids = ", ".join(data.source.ids[draw.row] for draw in plan[number][:3])
    return DataError(
        f"a data worker has died or hangs at the batch of {ids}, ... or soon after ({reason}); {_what_to_do()}."
    )


@contextmanager
def _watched() -> Iterator[None]:
    """Inside, the death of a worker is told at once, by a RuntimeError.

    Torch's own handler would raise it wherever the main thread happens to be, in the middle of a training step say.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGCHLD"):
        yield
        return
    before = signal.signal(signal.SIGCHLD, _tell)
    try:
        torch._C._error_if_any_worker_fails()  # of one that has died since the last batch
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


def _tell(*_: object) -> None:
    torch._C._error_if_any_worker_fails()


def _what_to_do() -> str:
    """Workers hand batches over in shared memory, of which a container often has 64 MB."""
    free = shutil.disk_usage(_SHARED).free if _SHARED.is_dir() else _LITTLE
    if free < _LITTLE:
        told = f"{_SHARED} has {free / 2**20:.0f} MiB left for batches: enlarge it (docker run --shm-size=2g)"
        return f"{told}, or set `trainer.num_workers=0`"
    return "run again with `trainer.num_workers=0` to see where"


def _end(workers: Iterable[BaseProcess]) -> None:
    for worker in workers:
        worker.kill()
        worker.join()


class _Rows(Dataset[Batch]):
    """A whole batch at a time, for DataLoader."""

    def __init__(self, data: Data, train: bool) -> None:
        self.data = data
        self.train = train

    def batch(self, draws: list[Draw]) -> Batch:
        batch = self._collated(draws)
        if not any(draw.mix for draw in draws):
            return batch
        return mixed(batch, self._collated(partners(draws)), draws, self.data.spec)

    def _collated(self, draws: list[Draw]) -> Batch:
        return collate(self.data.samples(draws, self.train), self.data.spec)

    def __getitems__(self, draws: list[Draw]) -> Batch | MmtrainError:
        """Hands an error over as a value: raised in a worker, it would arrive wrapped in a traceback."""
        try:
            return self.batch(draws)
        except MmtrainError as error:
            return error


def _unchanged(batch: object) -> object:
    return batch


def _start_worker(_: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

"""Processes that train cells: each imports torch once and takes one cell after another."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait

from mmtrain.errors import Stopped
from mmtrain.interrupt import StopFlag
from mmtrain.study.cell_run import Order, Outcome, attempt

_POLL_SECONDS = 0.5


def outcomes(orders: Sequence[Order], jobs: int, stop: StopFlag) -> Iterator[Outcome]:
    """Trains all, in their order, `jobs` at a time (0: in this process), and tells each as it ends.

    A worker that dies, killed for memory say, ends its cell only. Whoever stops to iterate ends the workers.

    Raises:
        Stopped: A signal asked for it; cells under way have been saved.
    """
    if jobs == 0:
        for order in orders:
            outcome = attempt(order)
            if outcome.code in (130, 143):
                raise _stopped(outcome.code - 128)
            yield outcome
        return
    left = list(reversed(orders))
    workers = [_Worker() for _ in range(min(jobs, len(orders)))]
    try:
        for worker in workers:
            worker.give(left.pop())
        while busy := [worker for worker in workers if worker.order is not None]:
            if stop.number:
                raise _stopped(stop.number)
            ready = wait([worker.connection for worker in busy], timeout=_POLL_SECONDS)
            for number, worker in enumerate(workers):
                if worker.order is None or worker.connection not in ready:
                    continue
                outcome = worker.take()
                if outcome.code in (130, 143):
                    raise _stopped(outcome.code - 128)
                if not worker.process.is_alive() and left:
                    worker = workers[number] = _Worker()
                if left:
                    worker.give(left.pop())
                yield outcome
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """One process, its end of the pipe, and the cell it works on."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads of torch may hang
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()  # so that the pipe ends where the process does
        self.order: Order | None = None

    def give(self, order: Order) -> None:
        self.order = order
        self.connection.send(order)

    def take(self) -> Outcome:
        """How the cell has ended, with the process where that is gone."""
        order, self.order = self.order, None
        assert order is not None
        try:
            outcome: Outcome = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            code = self.process.exitcode or 1
            reason = f"was killed by signal {-code}; out of memory?" if code < 0 else f"ended with exit code {code}."
            return Outcome(order.cell.identity, 5 if code == -9 else 1, f"its process {reason}")
        return outcome

    def end(self) -> None:
        """Ends the process: a cell under way is saved first."""
        if self.order is not None:
            self.process.terminate()
        self.connection.close()  # whoever waits for the next cell, or has saved this one, finds nobody and ends
        self.process.join()


def _serve(connection: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        while True:
            order: Order = connection.recv()
            connection.send(attempt(order))
    except (EOFError, ConnectionError, KeyboardInterrupt):
        return  # the study has ended


def _end_with_parent() -> None:
    """A study that is killed leaves nobody behind who still writes into its folder."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _stopped(number: int) -> Stopped:
    return Stopped("stopped; the same command goes on where it was.", number)

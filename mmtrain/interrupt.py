"""SIGTERM and SIGINT as a flag: the loop saves at the next step; nothing is done inside the handler."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopFlag:
    """`number` is the signal that has asked the run to stop, 0 before."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.number == number == signal.SIGINT:  # the second Ctrl-C means now
            raise KeyboardInterrupt
        self.number = number


@contextmanager
def watched() -> Iterator[StopFlag]:
    """Catches SIGTERM and SIGINT inside the block; outside the main thread, where Python cannot, none are caught."""
    flag = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = {number: signal.signal(number, flag) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

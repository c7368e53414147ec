"""One process a run folder: two that write into the same one would mix their checkpoints."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from mmtrain.errors import ConfigError

try:
    import fcntl
except ImportError:  # Windows has no flock: two processes in one folder are not noticed there
    fcntl = None  # type: ignore[assignment]  # a module, or None where there is none

_held: set[TextIO] = set()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder's lock; the system lets go of it when the process ends, however it ends.

    Raises:
        ConfigError: Another process holds it; the message names it.
    """
    with (folder / "run.lock").open("a+", encoding="utf-8") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise ConfigError(f"{folder} is in use by {file.read().strip()}; wait for it or stop it.") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        _held.add(file)
        try:
            yield
        finally:
            _held.remove(file)


def _let_go() -> None:
    """A worker that reads data is a copy of this process; it must not hold the lock of a run that was killed."""
    for file in _held:
        file.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)

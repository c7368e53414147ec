"""One process a run folder; the system lets go of the lock with the process, whatever that has started."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mmtrain.errors import ConfigError
from mmtrain.runlock import locked


def test_a_second_lock_is_refused_and_names_the_first(tmp_path: Path) -> None:
    """The message says which process holds the folder."""
    with locked(tmp_path), pytest.raises(ConfigError, match=f"in use by process {os.getpid()} on "), locked(tmp_path):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork beside threads, from Python 3.12 on
def test_a_forked_worker_does_not_hold_the_lock(tmp_path: Path) -> None:
    """A worker that outlives the process that made it, as after a SIGKILL, does not keep the run from being resumed."""
    (told, tell), (wait, end) = os.pipe(), os.pipe()
    with locked(tmp_path):
        child = os.fork()
        if child == 0:
            os.close(end)
            os.write(tell, b"!")  # it runs
            os.read(wait, 1)  # until the parent is done
            os._exit(0)
        os.read(told, 1)
    with locked(tmp_path):  # refused if the child still held it
        os.close(end)
    os.waitpid(child, 0)
    for pipe in (told, tell, wait):
        os.close(pipe)

"""Every error a user can meet, with the exit code it ends in.

    MmtrainError            1  (never raised itself)
    ├── ConfigError         2  a key, value, option, verb or combination that cannot be run
    ├── DataError           3  a table, column, row or media file that cannot be used
    ├── NonFiniteError      4  a loss or gradient that is nan or infinite
    ├── OutOfMemoryError    5  the batch does not fit the device
    ├── CheckpointError     6  no checkpoint that verifies, or one that does not fit the run
    ├── DiskError           7  a folder that cannot be written, a full disk
    ├── PeerError           8  another process of a distributed run has died
    ├── NotReproduced       9  a run, trained again, has given another result
    ├── Pruned              0  a trial of a sweep that was not worth its time
    ├── CellsFailed         that of the first cell of a study that failed; the others went on
    └── Stopped       130/143  SIGINT / SIGTERM, after a good save

Constructors of components raise `ValueError`; `build.py` adds the config key and turns it into a ConfigError.
"""

from __future__ import annotations


class MmtrainError(Exception):
    """An error told in one line; `code` is the exit status of the process."""

    code = 1


class ConfigError(MmtrainError):
    """One or several faults of a configuration, one a line."""

    code = 2


class DataError(MmtrainError):
    """A table, column, row or media file that cannot be used; the message names it."""

    code = 3


class NonFiniteError(MmtrainError):
    """A loss or gradient that is nan or infinite; raised before the optimizer moves the weights."""

    code = 4


class OutOfMemoryError(MmtrainError):
    """The device has no room for the batch."""

    code = 5


class CheckpointError(MmtrainError):
    """No checkpoint that verifies, or one made by another model."""

    code = 6


class DiskError(MmtrainError):
    """A folder that cannot be written, or a full disk."""

    code = 7


class PeerError(MmtrainError):
    """Another process of the same run has ended, or waits no longer."""

    code = 8


class NotReproduced(MmtrainError):  # noqa: N818  no fault of the command
    """A run was trained again and the result is another one; the message names what explains it."""

    code = 9


class Pruned(MmtrainError):  # noqa: N818  a trial has ended early, as it should
    """A trial of a sweep scores less than the earlier ones did by that step."""

    code = 0


class CellsFailed(MmtrainError):  # noqa: N818  says what has failed
    """Some cells of a study failed, for reasons told before; `code` is that of the first."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Stopped(MmtrainError):  # noqa: N818  no error, but an end of the process with a code
    """The run was asked to stop by a signal and has saved its state."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.code = 128 + signal_number

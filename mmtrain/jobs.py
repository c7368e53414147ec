"""Runs what Hydra makes of a command line: one job, or many with `-m`, where one that fails does not end the others."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmtrain import paths
from mmtrain.errors import MmtrainError, Pruned, Stopped
from mmtrain.report import complain, say, table
from mmtrain.trials import Job

if TYPE_CHECKING:
    from omegaconf import DictConfig

Train = Callable[[dict[str, object], list[str]], Path]


def explain(error: BaseException) -> tuple[int, str]:
    """The exit code of an error and what to say about it: a line a fault, after a traceback where MMTRAIN_DEBUG=1."""
    code, text = 1, f"{type(error).__name__}: {error} (unexpected; MMTRAIN_DEBUG=1 shows where)"
    if isinstance(error, MmtrainError):
        code, text = error.code, str(error)
    elif isinstance(error, KeyboardInterrupt):
        code, text = 130, "interrupted."
    elif isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, not imported here
        code, text = 5, f"out of memory; try a smaller `trainer.batch_size`. {' '.join(str(error).split())[:200]}"
    elif isinstance(error, BrokenPipeError):
        code, text = 141, "nobody reads the output any more."  # 128 + SIGPIPE, as of any command before `| head`
    elif isinstance(error, OSError):
        code, text = 7, f"{error.filename or 'disk'}: {error.strerror or error}."
    lines = "\n".join(f"error: {_printable(line)}" for line in text.splitlines())
    if os.environ.get("MMTRAIN_DEBUG") == "1":
        lines = "".join(traceback.format_exception(error)) + lines
    return code, lines


@dataclass(frozen=True)
class Ended:
    """How a job ended."""

    overrides: tuple[str, ...]
    code: int  # -1: not started, since the user stopped the sweep
    folder: str = ""
    metric: str = ""
    pruned: bool = False

    def row(self, common: set[str]) -> list[str]:
        """Its line in the table of a sweep, less the overrides that all jobs have."""
        status = (
            "pruned"
            if self.pruned
            else "done"
            if self.code == 0
            else f"failed ({self.code})"
            if self.code > 0
            else "not started"
        )
        return [" ".join(o for o in self.overrides if o not in common) or "all", status, self.metric, self.folder]


class Jobs:
    """The jobs of one command line, and how each ended.

    Args:
        train: Runs one job from its plain config and its command line; returns the run's folder.
        arguments: The command line as typed.
        config_dir: The user's own folder of options.
        multirun: Whether there may be several jobs.
    """

    def __init__(self, train: Train, arguments: Sequence[str], config_dir: Path | None, *, multirun: bool) -> None:
        self.train, self.arguments, self.config_dir, self.multirun = train, list(arguments), config_dir, multirun
        self.ended: list[Ended] = []
        self.stopped = False
        self._process = os.getpid()

    def run(self, arguments: Sequence[str]) -> int:
        """Hands the arguments to Hydra; returns the exit code: that of the first job that failed."""
        import hydra

        from mmtrain.compose import ROOT, VERSION_BASE

        if self.multirun:
            from mmtrain import sweeper

            sweeper.register()
        entry = hydra.main(version_base=VERSION_BASE, config_path=str(paths.config_dir()), config_name=ROOT)
        typed, sys.argv = sys.argv, [sys.argv[0], *arguments]  # hydra.main reads nothing else
        try:
            entry(self._job)()
        except SystemExit as left:  # Hydra has told its own error already, a launcher that is not installed say
            if left.code not in (None, 0):
                return 2
        finally:
            sys.argv = typed
        if self.multirun and self.ended:
            common = set.intersection(*(set(job.overrides) for job in self.ended))
            say("\n" + table([["job", "status", "metric", "folder"], *(job.row(common) for job in self.ended)]))
        return next((job.code for job in self.ended if job.code > 0), 0)

    def _job(self, node: DictConfig) -> Job:
        """One job, as Hydra calls for it; a sweeper gets to see what it returns."""
        self.ended.append(self._run(node))
        return Job(self.ended[-1].folder, self.ended[-1].code, self.ended[-1].pruned)

    def _run(self, node: DictConfig) -> Ended:
        from hydra.core.hydra_config import HydraConfig

        from mmtrain import compose, validate

        overrides, line = tuple(HydraConfig.get().overrides.task), self.arguments
        if self.stopped:
            return Ended(overrides, -1)
        if self.multirun:
            line = [*overrides, *([f"--config-dir={self.config_dir}"] if self.config_dir else [])]
            say(f"\njob {len(self.ended) + 1}: {' '.join(overrides)}")
        try:
            config = compose.plain(node)
            if self.multirun:
                validate.refuse(config, self.config_dir)
            folder = self.train(config, line)
        except Pruned as error:
            say(str(error))
            return Ended(overrides, 0, pruned=True)
        except (Exception, KeyboardInterrupt) as error:  # however it breaks, it must not end the others
            if os.getpid() != self._process:
                raise  # a launcher's own process: only an exception tells the one that counts
            code, text = explain(error)
            complain(text)
            self.stopped = isinstance(error, KeyboardInterrupt | Stopped)
            return Ended(overrides, code)
        return Ended(overrides, 0, folder=str(folder), metric=_headline(config, folder))


def _printable(text: str) -> str:
    """Escapes control characters, which a stranger's key or cell may hold to write over the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text.rstrip())


def _headline(config: dict[str, object], folder: Path) -> str:
    """The chosen metric of the last evaluation: `test accuracy 0.973`."""
    from mmtrain.record import read_rows

    rows = [row for row in read_rows(folder) if row.get("kind") == "evaluation"]
    task = config.get("task")
    metric = str(task.get("metric")) if isinstance(task, dict) else ""
    value = rows[-1].get(metric) if rows else None
    return f"{rows[-1]['split']} {metric} {value:.3f}" if isinstance(value, float) else ""

"""What a study will take: one measured step and evaluation of each kind of cell, and the disk they need."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from mmtrain import training
from mmtrain.build import build
from mmtrain.compose import without_initial_weights
from mmtrain.device import choose
from mmtrain.errors import DiskError
from mmtrain.evaluation import evaluate
from mmtrain.interrupt import StopFlag
from mmtrain.loop import objective_of, steps_of_epoch, train_step
from mmtrain.peers import Peers
from mmtrain.protocols import DataSource
from mmtrain.run import Run
from mmtrain.study.cells import Cell

_BYTES_A_WEIGHT = 4
_BYTES_A_ROW = 400  # of predictions, outputs and the page
_CHECKPOINT_WEIGHTS = 3  # the model, and two moments of the optimizer
_RUN_BYTES = 300_000  # config, metrics, page


@dataclass(frozen=True)
class Need:
    """Seconds of one cell, the bytes it keeps, and those it takes while it trains."""

    seconds: float
    kept: int
    under_way: int


def measure(cell: Cell, source: DataSource, *, keep_weights: bool) -> Need:
    """Trains two steps, of which the second is timed, evaluates some val rows, and writes nothing that stays."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        redirect_stdout(nowhere),
    ):
        parts = build(without_initial_weights(cell.config), source=source)
        settings = parts.settings
        compute = choose(
            settings.device,
            settings.precision,
            num_threads=settings.num_threads,
            determinism=settings.determinism,
        )
        run = training.prepare(parts, Path(folder), compute, Peers(), StopFlag(), resumed=False)
        objective = objective_of(run)
        with closing(steps_of_epoch(run)) as steps:
            first = next(steps)
            train_step(run, objective, first)
            begun = time.monotonic()
            train_step(run, objective, next(steps, first))  # its rows are read in the time, too
            step = time.monotonic() - begun
        rows = source.splits["val"][: 4 * settings.trainer.batch_size]
        begun = time.monotonic()
        evaluate(run.state.model, run.data, run.task, rows, compute=compute, batch_size=len(rows))
        row = (time.monotonic() - begun) / len(rows)
    evaluated = _evaluations(run) * len(source.splits["val"]) + len(source.splits.get("test", source.splits["val"]))
    weights = _BYTES_A_WEIGHT * sum(run.parameters.values())
    kept = _RUN_BYTES + _BYTES_A_ROW * len(source.splits.get("test", ())) + (weights if keep_weights else 0)
    # The newest ones, the best one and the one being written.
    return Need(
        run.total_steps * step + evaluated * row, kept, (settings.trainer.keep_last + 2) * _CHECKPOINT_WEIGHTS * weights
    )


def _evaluations(run: Run) -> int:
    trainer = run.settings.trainer
    unit = run.steps_per_epoch if trainer.evaluate_unit == "epoch" else 1
    return -(-run.total_steps // (unit * trainer.evaluate_every)) + trainer.evaluate_first


def require_disk(folder: Path, needs: Sequence[Need], jobs: int) -> int:
    """The bytes that the cells need at most.

    Raises:
        DiskError: They are not free.
    """
    under_way = sorted((need.under_way for need in needs), reverse=True)
    needed = sum(need.kept for need in needs) + sum(under_way[: max(1, jobs)])
    there = next(parent for parent in [folder, *folder.absolute().parents] if parent.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise DiskError(
            f"{folder}: the study needs about {needed / 1e6:,.0f} MB, {free / 1e6:,.0f} MB are free; make room, or "
            "choose `output_dir=` on another disk."
        )
    return needed

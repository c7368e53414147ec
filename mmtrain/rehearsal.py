"""The first steps of a run, taken for trial: whether they can be, how long a run will be, what memory it needs."""

from __future__ import annotations

import math
import time
from contextlib import closing
from statistics import median
from typing import NamedTuple

import torch

from mmtrain.evaluation import evaluate
from mmtrain.loop import objective_of, steps_of_epoch, train_step
from mmtrain.run import Run

try:
    import resource
except ImportError:  # Windows does not tell how much memory a process has had
    resource = None  # type: ignore[assignment]  # a module, or None where there is none

STEPS = 4  # the first is left out of the time: caches are cold


class Estimate(NamedTuple):
    """What a run will take."""

    step: float  # seconds of one optimizer step, with reading
    epoch: float  # seconds, with one evaluation
    run: float  # seconds
    memory: int | None  # bytes: the most so far, of the device or of this process; None where nobody knows


def rehearse(run: Run) -> Estimate:
    """Takes a few real optimizer steps and evaluates a batch; the run must not be used afterwards.

    Raises:
        NonFiniteError: As in training.
        DataError: As in training.
    """
    model, trainer, splits = run.state.model, run.settings.trainer, run.data.source.splits
    if run.compute.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(run.compute.device)
    objective = objective_of(run)
    seconds: list[float] = []
    start = time.perf_counter()
    with closing(steps_of_epoch(run)) as steps:
        for micros in steps:
            train_step(run, objective, micros)
            seconds.append(time.perf_counter() - start)
            if len(seconds) == min(STEPS, run.total_steps):
                break
            start = time.perf_counter()
    step = median(seconds[1:] or seconds)
    rows = splits["val"][: 4 * trainer.batch_size]
    start = time.perf_counter()
    evaluate(model, run.data, run.task, rows, compute=run.compute, batch_size=4 * trainer.batch_size)
    a_row = (time.perf_counter() - start) / len(rows)
    every = trainer.evaluate_every * (run.steps_per_epoch if trainer.evaluate_unit == "epoch" else 1)
    evaluations = math.ceil(run.total_steps / every) + trainer.evaluate_first
    val, test = a_row * len(splits["val"]), a_row * len(splits.get("test", splits["val"]))
    whole = run.total_steps * step + evaluations * val + test
    return Estimate(step, run.steps_per_epoch * step + val, whole, _memory(run.compute.device))


def _memory(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    return None if resource is None else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

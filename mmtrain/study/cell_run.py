"""Trains one cell of a study in its own run folder, and keeps of it what the study's table is made from.

A run that was stopped goes on from its last checkpoint; one that had none begins anew in a new folder. The recipe is
that of a single run: `mmtrain.training` does all of it.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import load_file, save_file

from mmtrain import checkpoint, training
from mmtrain.build import build_source
from mmtrain.components import Config
from mmtrain.contracts import Results
from mmtrain.evaluation import evaluate
from mmtrain.jobs import explain
from mmtrain.protocols import DataSource, Logits, Task
from mmtrain.record import read_rows
from mmtrain.rows import taken, taken_targets
from mmtrain.run import Run
from mmtrain.runfolder import write_json, write_text
from mmtrain.significance import blocks, pseudo_values
from mmtrain.state import weights_of
from mmtrain.study.cells import Cell, folder_of
from mmtrain.study.rows import test_groups
from mmtrain.study.usage import peak_memory, reset_peak_memory
from mmtrain.target import Target

RESULT, OUTPUTS = "result.json", "outputs.safetensors"
_TIMED_ROWS = 256


class Order(NamedTuple):
    """What a worker is told: the cell, the study's folder, and how to treat it."""

    cell: Cell
    study: Path
    group: str | None
    keep_weights: bool


class Outcome(NamedTuple):
    """How a cell ended: exit code 0 and its run folder, or another code and the reason."""

    identity: str
    code: int
    text: str


def attempt(order: Order) -> Outcome:
    """Trains a cell, whatever comes of it; what it says goes to its own `train.log`."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        try:
            return Outcome(order.cell.identity, 0, str(train(order)))
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  however it breaks, it must not end the other cells
            code, text = explain(error)
            return Outcome(order.cell.identity, code, text.removeprefix("error: "))


def train(order: Order) -> Path:
    """Trains a cell to its end, from wherever an earlier attempt was stopped, and returns its run folder."""
    config, started = order.cell.config, time.monotonic()
    source = _source(json.dumps(config["dataset"], sort_keys=True))
    folder = folder_of(order.study, order.cell.identity)
    resumed = folder is not None and any(checkpoint.steps(folder / "checkpoints"))
    reset_peak_memory()

    def tested(run: Run, split: str, results: Results) -> None:
        seconds = None if resumed else time.monotonic() - started
        _write_result(run, split, results, order.group, seconds)

    if folder is not None and _ended(folder):
        pass  # killed between the end of the run and the end of the cell
    elif folder is not None and resumed:
        training.resume(folder, config, source=source, tested=tested)
    else:
        if folder is not None:
            shutil.rmtree(folder)  # stopped before its first checkpoint: there is nothing to go on from
        folder = training.start(config, order.cell.typed, source=source, tested=tested)
    _shed(folder, keep_weights=order.keep_weights)
    return folder


@lru_cache(maxsize=1)
def _source(dataset: str) -> DataSource:
    """The rows of the study, made once a process."""
    config: Config = {"dataset": json.loads(dataset)}
    return build_source(config)


def _ended(folder: Path) -> bool:
    return (folder / RESULT).is_file() and any(row["kind"] == "end" for row in read_rows(folder))


def _write_result(run: Run, split: str, results: Results, group: str | None, seconds: float | None) -> None:
    """Writes the score of a run, its parts by test unit, and what it cost; and the raw outputs, for ensembles."""
    source, progress = run.data.source, run.state.progress
    evaluations = [row for row in read_rows(run.folder) if row["kind"] == "evaluation"]
    tested = [row for row in evaluations if row["split"] == split and "checkpoint" in row][-1]
    best = progress.chosen_step
    chosen = next((row for row in evaluations if row["split"] == "val" and row["step"] == best), {})
    rows = source.splits["val"][:_TIMED_ROWS]  # not of the test split, which is read once
    begun = time.monotonic()
    encoding = replace(run.data, encoded={})  # what a new row costs
    evaluate(run.state.model, encoding, run.task, rows, compute=run.compute, batch_size=len(rows))
    per_sample = (time.monotonic() - begun) / len(rows)
    write_json(
        run.folder / RESULT,
        {
            "metric": run.task.metric,
            "higher_is_better": run.task.higher_is_better,
            "split": split,
            "rows": len(results.ids),
            "value": tested[run.task.metric],
            "val": chosen.get(run.task.metric),
            "metrics": {name: value for name, value in tested.items() if name not in ("kind", "step", "split")},
            "units": units_of(run.task, results, source, split, group),
            "parameters": sum(run.parameters.values()),
            "steps": progress.step,
            "best_step": best,
            "seconds": None if seconds is None else round(seconds, 2),
            "peak_memory_bytes": peak_memory(run.compute.device),
            "ms_per_sample": round(1e3 * per_sample, 3),
            "data": run.facts["data"],
        },
    )
    save_outputs(run.folder / OUTPUTS, run.task, results)


def units_of(task: Task, results: Results, source: DataSource, split: str, group: str | None) -> list[float]:
    """The pseudo-values of the task's metric, one a test unit; the same units for every cell of the data."""
    place = {name: number for number, name in enumerate(results.ids)}
    names = [source.ids[row] for row in source.splits[split]]
    units = blocks(names, test_groups(source, split, group))
    read = [[place[names[row]] for row in unit if names[row] in place] for unit in units]  # less what was skipped
    values: list[float] = pseudo_values(lambda rows: task.metrics(_subset(results, rows))[task.metric], read).tolist()
    return values


def save_outputs(path: Path, task: Task, results: Results) -> None:
    """The logits [N,K] and targets of the test rows, of a task that has logits; only those can be averaged."""
    if not isinstance(task, Logits):
        return
    tensors = {"outputs": results.tensor.contiguous()}
    for name, target in results.targets.items():
        tensors |= {f"values/{name}": target.tensor.contiguous(), f"mask/{name}": target.mask}
    save_file(tensors, path)
    write_text(path.with_suffix(".ids.json"), json.dumps(results.ids, ensure_ascii=False))


def load_outputs(path: Path) -> Results | None:
    """What `save_outputs` has written, without its loss; None where it had nothing to write."""
    if not path.is_file():
        return None
    found = load_file(path)
    ids = json.loads(path.with_suffix(".ids.json").read_text(encoding="utf-8"))
    names = [name.removeprefix("values/") for name in found if name.startswith("values/")]
    targets = {name: Target(found[f"values/{name}"], found[f"mask/{name}"]) for name in names}
    return Results(ids, found["outputs"], targets, float("nan"))


def _subset(results: Results, rows: Sequence[int]) -> Results:
    targets = {name: taken_targets(target, rows) for name, target in results.targets.items()}
    ids = [results.ids[row] for row in rows]
    return results._replace(ids=ids, outputs=taken(results.outputs, rows), targets=targets)


def _shed(folder: Path, *, keep_weights: bool) -> None:
    """Drops what a finished cell does not need: all checkpoints, or all but the best weights without an optimizer."""
    checkpoints = folder / "checkpoints"
    result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    if not keep_weights:
        shutil.rmtree(checkpoints, ignore_errors=True)
        return
    best = checkpoint.at_step(checkpoints, result["best_step"])
    checkpoint.save(checkpoints, best.step, {"model": weights_of(best.tensors), "optim": {}}, best.values, best.facts)
    checkpoint.prune(checkpoints, [best.step])

"""Runs a model over a split and collects every output once, so that metrics are exact and not means of batch means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import nn

from mmtrain.contracts import Results, Rows
from mmtrain.data.dataset import Data
from mmtrain.data.loader import batches
from mmtrain.data.plan import Batches, sequential, share
from mmtrain.device import Compute
from mmtrain.errors import DataError
from mmtrain.peers import Peers
from mmtrain.protocols import Task
from mmtrain.rows import joined, joined_targets, taken, taken_targets
from mmtrain.target import Target


class Abandoned(Exception):  # noqa: N818  # not an error: the run was asked to stop in the middle
    """An evaluation that `poll` has ended early; its results must not be used."""


def evaluate(
    model: nn.Module,
    data: Data,
    task: Task,
    rows: Sequence[int],
    *,
    compute: Compute,
    batch_size: int,
    num_workers: int = 0,
    peers: Peers | None = None,
    poll: Callable[[], bool] = lambda: False,
) -> Results:
    """Outputs and targets of the rows, in their order, each distinct sample once.

    Args:
        model: Put into eval mode for the time; every row is computed densely.
        data: Where the rows are.
        task: Reads targets, gives the loss.
        rows: Row numbers of a split.
        compute: Device and precision.
        batch_size: Rows at a time on each process.
        num_workers: Processes that read the rows.
        peers: The processes that share the work; all get all results.
        poll: Asked after each batch; True abandons the evaluation.

    Raises:
        DataError: No row could be read.
        Abandoned: `poll` has said so.
    """
    peers = peers or Peers()
    whole = sequential(rows, batch_size=batch_size * peers.size)
    plan = Batches(len(whole), lambda number: share(whole[number], parts=peers.size, part=peers.rank))
    ids: list[str] = []
    outputs: list[Rows] = []
    targets: dict[str, list[Target]] = {name: [] for name in task.targets}
    skipped: list[tuple[str, str]] = []
    total, weight = 0.0, 0.0
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for batch in batches(data, plan, train=False, num_workers=num_workers, pin_memory=compute.pin_memory):
                weight += task.weight(batch)
                moved = batch.to(compute.device)
                with compute.autocast():
                    output = model(moved)
                total += float(task.loss(output, moved))
                kept = [row for row, weight_of_row in enumerate(batch.weight.tolist()) if weight_of_row > 0]
                ids += [batch.ids[row] for row in kept]
                skipped += batch.skipped
                outputs.append(taken(task.collect(output, moved), kept))
                for name, parts in targets.items():
                    parts.append(taken_targets(batch.targets[name], kept))
                if peers.size == 1 and poll():
                    raise Abandoned
    finally:
        model.train(was_training)
    joint = {name: joined_targets(parts) for name, parts in targets.items()}
    mine = _Part(ids, joined(outputs), joint, skipped)
    total, weight = peers.sum([total, weight])
    return _merge(peers.gather(mine), data, rows, loss=total / weight if weight else float("nan"))


def prediction_columns(data: Data, task: Task, results: Results) -> Mapping[str, Sequence[object]]:
    """The columns of a predictions file: id, the targets as written, then what the task adds."""
    source = data.source
    row_of = {name: row for row, name in enumerate(source.ids)}
    truth = {
        target: [source.target(row_of[name], target) or "" for name in results.ids]
        for target in task.targets
        if target in source.targets
    }
    return {"id": results.ids, **truth, **task.table(results)}


class _Part(NamedTuple):
    """What one process has collected."""

    ids: list[str]
    outputs: Rows
    targets: dict[str, Target]
    skipped: list[tuple[str, str]]


def _merge(parts: Sequence[_Part], data: Data, rows: Sequence[int], *, loss: float) -> Results:
    names = [name for part in parts for name in part.ids]
    outputs = joined([part.outputs for part in parts])
    targets = {name: joined_targets([part.targets[name] for part in parts]) for name in parts[0].targets}
    skipped = {name: reason for part in parts for name, reason in part.skipped}
    place = {name: i for i, name in reversed(list(enumerate(names)))}
    wanted = [data.source.ids[row] for row in rows]
    order = [place[name] for name in wanted if name in place]
    if not order:
        first = next(iter(skipped.values()), "")
        raise DataError(f"none of {len(wanted):,} rows could be read; the first: {first.rstrip('.')}.")
    ids = [names[i] for i in order]
    assert len(set(ids)) == len(ids), "a sample counted twice"
    assert set(ids) | set(skipped) == set(wanted), "a sample neither counted nor skipped"
    ordered = {name: taken_targets(target, order) for name, target in targets.items()}
    return Results(ids, taken(outputs, order), ordered, loss, tuple(skipped.items()))

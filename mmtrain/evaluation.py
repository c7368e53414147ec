"""Runs a model over a split and collects every output once, so that metrics are exact and not means of batch means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from mmtrain.contracts import Batch, Results, Rows, Signal
from mmtrain.data.dataset import Data
from mmtrain.data.loader import batches
from mmtrain.data.plan import Batches, sequential, share
from mmtrain.device import Compute
from mmtrain.errors import DataError
from mmtrain.offers import Clipping, Pooling
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

    A row of which a reader makes several clips is answered clip by clip; its output is what the task makes of these,
    and its loss is their mean.

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
    parts_of = clip_counts(data)
    count = max([1, *parts_of.values()])
    plan = in_order(rows, batch_size=max(1, batch_size // count), peers=peers)
    ids: list[str] = []
    outputs: list[list[Rows]] = [[] for _ in range(count)]  # by clip
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
                kept = [row for row, weight_of_row in enumerate(batch.weight.tolist()) if weight_of_row > 0]
                ids += [batch.ids[row] for row in kept]
                skipped += batch.skipped
                for number in range(count):
                    clip = _clip(moved, parts_of, number)
                    with compute.autocast():
                        output = model(clip)
                    total += float(task.loss(output, clip)) / count
                    outputs[number].append(taken(task.collect(output, clip), kept))
                for name, parts in targets.items():
                    parts.append(taken_targets(batch.targets[name], kept))
                if peers.size == 1 and poll():
                    raise Abandoned
    finally:
        model.train(was_training)
    joint = {name: joined_targets(parts) for name, parts in targets.items()}
    mine = _Part(ids, [joined(parts) for parts in outputs], joint, skipped)
    total, weight = peers.sum([total, weight])
    merged = _merge(peers.gather(mine), data, rows, loss=total / weight if weight else float("nan"))
    if count == 1:
        return merged._replace(clips=())
    assert isinstance(task, Pooling), "refused when the task was built"
    return merged._replace(outputs=task.pooled(merged.clips))


def in_order(rows: Sequence[int], *, batch_size: int, peers: Peers) -> Batches:
    """This process's part of all rows in their order, `batch_size` of them at a time."""
    whole = sequential(rows, batch_size=batch_size * peers.size)
    return Batches(len(whole), lambda number: share(whole[number], parts=peers.size, part=peers.rank))


def scores(task: Task, results: Results) -> dict[str, float]:
    """The task's metrics; where rows were read as several clips, also its chief one over the single clips."""
    found, count = task.metrics(results), len(results.clips)
    if count:
        targets = {name: joined_targets([target] * count) for name, target in results.targets.items()}
        each = Results([*results.ids] * count, joined(results.clips), targets, results.loss)
        found[f"clip_{task.metric}"] = task.metrics(each)[task.metric]
    return found


def clip_counts(data: Data) -> dict[str, int]:
    """The modalities of which an evaluation reads several clips of a row, and how many.

    Raises:
        ValueError: Two modalities have another number of them.
    """
    found = {n: r.clips for n, r in data.readers.items() if isinstance(r, Clipping) and r.clips > 1}
    if len(set(found.values())) > 1:
        told = ", ".join(f"`reader.{name}.clips` (={count})" for name, count in found.items())
        raise ValueError(f"{told} must be equal, or 1: clips of the same number are answered together")
    return found


def _clip(batch: Batch, parts_of: Mapping[str, int], number: int) -> Batch:
    """The batch with one of its clips; what is no clip is the same in each."""
    if not parts_of:
        return batch

    def cut(tensor: Tensor) -> Tensor:
        count = max(parts_of.values())
        return tensor if tensor.shape[1] < count else tensor.chunk(count, dim=1)[number]  # shorter: no row has it

    changed = {name: cast(Signal, batch.signals[name]).each(cut) for name in parts_of}
    return replace(batch, signals={**batch.signals, **changed})


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
    outputs: list[Rows]  # of each clip
    targets: dict[str, Target]
    skipped: list[tuple[str, str]]


def _merge(parts: Sequence[_Part], data: Data, rows: Sequence[int], *, loss: float) -> Results:
    names = [name for part in parts for name in part.ids]
    clips = [joined(list(same)) for same in zip(*(part.outputs for part in parts), strict=True)]
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
    found = [taken(clip, order) for clip in clips]
    return Results(ids, found[0], ordered, loss, tuple(skipped.items()), found)

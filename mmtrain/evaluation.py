"""Runs a model over a split and collects every output once, so that metrics are exact and not means of batch means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mmtrain.contracts import Results, Target
from mmtrain.data.dataset import Data
from mmtrain.data.loader import batches
from mmtrain.data.plan import sequential, share
from mmtrain.device import Compute
from mmtrain.errors import DataError
from mmtrain.peers import Peers
from mmtrain.protocols import Task


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
    plan = [
        share(batch, parts=peers.size, part=peers.rank)
        for batch in sequential(rows, batch_size=batch_size * peers.size)
    ]
    ids: list[str] = []
    outputs: list[Tensor] = []
    values: list[Tensor] = []
    masks: list[Tensor] = []
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
                kept = batch.weight > 0  # [B]
                ids += [name for name, keep in zip(batch.ids, kept.tolist(), strict=True) if keep]
                skipped += batch.skipped
                outputs.append(output.float().cpu()[kept])
                values.append(batch.targets[task.target].values[kept])
                masks.append(batch.targets[task.target].mask[kept])
                if peers.size == 1 and poll():
                    raise Abandoned
    finally:
        model.train(was_training)
    mine = _Part(ids, torch.cat(outputs), torch.cat(values), torch.cat(masks), skipped)
    total, weight = peers.sum([total, weight])
    return _merge(peers.gather(mine), data, rows, loss=total / weight if weight else float("nan"))


class _Part(NamedTuple):
    """What one process has collected."""

    ids: list[str]
    outputs: Tensor
    values: Tensor
    masks: Tensor
    skipped: list[tuple[str, str]]


def _merge(parts: Sequence[_Part], data: Data, rows: Sequence[int], *, loss: float) -> Results:
    names = [name for part in parts for name in part.ids]
    outputs = torch.cat([part.outputs for part in parts])
    values = torch.cat([part.values for part in parts])
    masks = torch.cat([part.masks for part in parts])
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
    return Results(ids, outputs[order], Target(values[order], masks[order]), loss, tuple(skipped.items()))

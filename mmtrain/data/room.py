"""Whether samples are long enough for their targets, where a task writes at most one token of text a token of input."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from functools import cache

import torch

from mmtrain.contracts import Signal
from mmtrain.data.dataset import Data
from mmtrain.data.target_notes import places, read_or_none
from mmtrain.errors import DataError
from mmtrain.offers import Joining
from mmtrain.protocols import Aligned, Measuring, Task

TokenCount = Callable[[str, Signal], int]


def notes_on_room(data: Data, task: Task, token_count: TokenCount) -> list[str]:
    """Refuses rows whose sample of the anchor is too short for their target; with `on_bad_sample=skip`, notes of them.

    Args:
        data: The rows of all splits; of a sound, no more than its header is read.
        task: Only an `Aligned` one, or such a one inside it, asks for room.
        token_count: How many tokens a modality of one row becomes, never fewer where it is longer.

    Raises:
        DataError: Some rows are too short, and `on_bad_sample` is `error`; or all that there are to learn from.
    """
    if not isinstance(task, Aligned):
        inside = task.tasks.values() if isinstance(task, Joining) else ()
        return [note for child in inside for note in notes_on_room(data, child, token_count)]
    anchor, target, spec = task.anchor, task.target, data.spec.signals[task.anchor]
    dtype = torch.int64 if spec.vocabulary else torch.float32

    @cache
    def tokens(steps: int) -> int:
        return token_count(anchor, Signal(torch.zeros(1, steps, *spec.shape, dtype=dtype), torch.ones(1, steps).bool()))

    shortest = cache(lambda count: 1 + bisect_left(range(1, spec.length + 1), count, key=tokens))
    bad, room = {}, set()
    for row in (row for rows in data.source.splits.values() for row in rows):
        value = data.source.target(row, target)
        read = None if value is None else read_or_none(data.targets[target], value)
        steps = None if read is None else _steps(data, row, anchor)
        if read is None or steps is None:
            continue
        if steps < shortest(needed := task.steps_needed(read)):
            bad[row] = f"its `{target}` needs {needed:,} tokens of `{anchor}`, which has {tokens(steps):,}"
        else:
            room.add(row)
    if not bad:
        return []
    reason = f"{places(data.source, list(bad))}: {next(iter(bad.values()))}"
    train = data.source.splits.get("train", ())
    if room.isdisjoint(train) and not bad.keys().isdisjoint(train):
        raise DataError(f"{reason}. No row of train has room; give the encoder of `{anchor}` more tokens a second.")
    if data.on_bad_sample == "skip":
        return [f"{len(bad):,} rows are too short to be learned from; {reason}"]
    raise DataError(
        f"{reason}. {len(bad):,} such rows; correct them, give the encoder of `{anchor}` more tokens a second, or "
        "learn from the other rows with `on_bad_sample=skip`."
    )


def _steps(data: Data, row: int, name: str) -> int | None:
    """How long a sample is; None where there is none, or where it cannot be read, as reading it will tell."""
    reader = data.readers[name]
    try:
        cell = data.source.cell(row, name)
        if cell is None:
            return None
        return reader.measure(cell) if isinstance(reader, Measuring) else len(reader.finish(reader.decode(cell)))
    except (ValueError, OSError):
        return None

"""What many rows have given, one batch after another: put together, and taken apart again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor

from mmtrain.contracts import Outputs, Rows
from mmtrain.target import Target


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of all parts, one after another; there is one part at least."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(cast(list[Tensor], parts))
    if isinstance(first, dict):
        named = cast(Sequence[dict[str, Rows]], parts)
        return {name: joined([part[name] for part in named]) for name in first}
    return [item for part in cast(Sequence[list[object]], parts) for item in part]


def taken(rows: Rows, places: Sequence[int]) -> Rows:
    """The rows at some places, in that order."""
    if isinstance(rows, Tensor):
        return rows[list(places)]
    if isinstance(rows, dict):
        return {name: taken(part, places) for name, part in rows.items()}
    return [rows[place] for place in places]


def joined_targets(parts: Sequence[Target]) -> Target:
    """The rows of all parts of one target."""
    values = joined([cast(Rows, part.values) for part in parts])
    references = [texts for part in parts for texts in part.references]
    return Target(cast(Tensor | list[Tensor], values), torch.cat([part.mask for part in parts]), references)


def taken_targets(target: Target, places: Sequence[int]) -> Target:
    """The rows of one target at some places."""
    values = taken(cast(Rows, target.values), places)
    references = [target.references[place] for place in places] if target.references else []
    return Target(cast(Tensor | list[Tensor], values), target.mask[list(places)], references)


def tensors(outputs: Outputs) -> Iterator[Tensor]:
    """Every tensor of what a head gave."""
    if isinstance(outputs, Tensor):
        yield outputs
    else:
        for part in outputs.values() if isinstance(outputs, dict) else outputs:
            yield from tensors(part)

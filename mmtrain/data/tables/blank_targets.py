"""Rows of a table without a target: an error that counts them, or left out of every split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from mmtrain.data.tables.manifest import Manifest
from mmtrain.errors import DataError

OnBlankTarget = Literal["error", "drop"]


def labelled(table: Manifest, targets: Sequence[str], on_blank: OnBlankTarget) -> tuple[Sequence[int], list[str]]:
    """The rows that have one target at least; all where there are no targets to have.

    Returns:
        Their numbers, and a note on those that are left out.

    Raises:
        DataError: Some have none, and `on_blank` is `error`; or none has one.
    """
    lacking = np.full(len(table), bool(targets))
    for name in targets:
        lacking &= ~table.columns[name].filled()
    if not lacking.any():
        return range(len(table)), []
    blank, rows = np.flatnonzero(lacking).tolist(), np.flatnonzero(~lacking).tolist()
    more = f" and {len(blank) - 5:,} more" if len(blank) > 5 else ""
    places = ", ".join(map(table.place, blank[:5])) + more
    names = " or ".join(f"`{name}`" for name in targets)
    told = f"{len(blank):,} of {len(table):,} rows have no {names}"
    if on_blank == "error" or not rows:
        way_out = ", or leave such rows out with `dataset.on_blank_target=drop`" if rows else ""
        raise DataError(f"{told}: {places}; fill the cells in{way_out}.")
    return rows, [f"{told} and are left out: {places}"]

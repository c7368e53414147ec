"""Rows of one modality as a frozen encoder has made tokens of them: read from a store's file, mapped into memory.

Every value has been verified when this was made, and the file is neither opened nor looked up again: a row costs two
views into the map. Clearing the cache beside a run takes nothing from it, since a mapped file stays until its last user
ends.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from mmtrain.contracts import Tokens
from mmtrain.data.store import SAMPLES, Store
from mmtrain.errors import DataError


def packed(tokens: Tokens, row: int) -> Tensor:
    """One row of a batch as an array to be kept: [L,D + 1], or [L,D + 4] where tokens have positions.

    What lies behind its last real token is left out.
    """
    real = tokens.mask[row].nonzero()
    length = int(real[-1]) + 1 if len(real) else 1
    parts = [tokens.values[row], tokens.mask[row].unsqueeze(-1)]
    parts += [] if tokens.positions is None else [tokens.positions[row]]
    return torch.cat([part[:length].float().cpu() for part in parts], dim=1)


class EncodedRows:
    """The tokens of rows.

    Args:
        store: Holds what `packed` gives.
        keys: Of each row that has the modality.
        width: D of the tokens.
        faults: Why a row could not be encoded, for those that could not.

    Raises:
        KeyError: The store lacks a key.
        OSError: Its file cannot be read.
    """

    def __init__(self, store: Store, keys: Mapping[int, bytes], *, width: int, faults: Mapping[int, str]) -> None:
        self.width, self.faults = width, faults
        rows = max(keys, default=-1) + 1
        self._starts, self._shapes = np.zeros(rows, np.int64), np.zeros((rows, 2), np.int64)  # no tokens: absent
        for row, key in keys.items():
            found = store.place(key)
            if found is None:
                raise KeyError(row)
            self._starts[row], self._shapes[row] = found
        # Private to this process: torch wants to be able to write to what it shares.
        self._map = np.memmap(store.folder / SAMPLES, np.uint8, "c") if keys else np.empty(0, np.uint8)

    def tokens(self, row: int) -> Tokens | None:
        """Values [L,D], mask [L] and positions [L,3] of a row; None where it lacks the modality.

        Raises:
            DataError: The row could not be encoded.
        """
        if row in self.faults:
            raise DataError(self.faults[row])
        length, columns = self._shapes[row].tolist() if row < len(self._shapes) else (0, 0)
        if not length:
            return None
        start = int(self._starts[row])
        values = torch.from_numpy(self._map[start : start + 4 * length * columns]).view(torch.float32)
        kept = values.view(length, columns)
        positions = kept[:, self.width + 1 :] if columns > self.width + 1 else None
        return Tokens(kept[:, : self.width], kept[:, self.width] > 0, positions)

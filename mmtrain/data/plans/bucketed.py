"""Rows of like length in one batch, so that less of it is padding.

The rows are shuffled and cut into windows of some batches, each window is sorted by length and cut into batches, and
the batches are shuffled: the scheme of fairseq and of torchtext's BucketIterator. Every row still comes once an epoch.
"""

from __future__ import annotations

from typing import Annotated

from mmtrain.contracts import Range
from mmtrain.data.dataset import Data
from mmtrain.data.plan import Batches, drawn, shuffled
from mmtrain.errors import DataError
from mmtrain.protocols import Measuring


class BucketedPlan:
    """Draws every row once, in batches of like length.

    Args:
        data: Rows and readers; the length of every training row is measured once, when the plan is made.
        modality: Whose length counts; None: the first whose samples differ in length. A row that lacks it counts 0.
        window: Batches that are sorted together: more mean less padding and less chance.

    Raises:
        ValueError: There is no such modality, or its samples are all of one length.
        DataError: A cell cannot be read, and `on_bad_sample` is `error`.
    """

    def __init__(self, data: Data, *, modality: str | None = None, window: Annotated[int, Range(1)] = 50) -> None:
        padded = [name for name, spec in data.spec.signals.items() if spec.length > 1]
        name = modality or next(iter(padded), "")
        if name not in padded:
            found = f"`{modality}` is none; there is" if modality else "there is"
            raise ValueError(
                f"sorts by the length of a modality whose samples differ in it; {found} {padded or 'none'}"
            )
        self.window = window
        self._train = list(data.source.splits["train"])
        self._lengths = {row: _length(data, row, name) for row in self._train}
        self.rows = len(self._train)

    def __call__(self, *, seed: int, epoch: int, batch_size: int) -> Batches:
        """The batches of an epoch."""
        rows, size = shuffled(self._train, seed, epoch, "order"), self.window * batch_size
        windows = [rows[start : start + size] for start in range(0, len(rows), size)]
        ordered = [row for window in windows for row in sorted(window, key=self._lengths.__getitem__)]
        batches = drawn(ordered, seed=seed, epoch=epoch, batch_size=batch_size)
        order = shuffled(range(len(batches)), seed, epoch, "batches")
        return Batches(len(order), lambda place: batches[order[place]])


def _length(data: Data, row: int, name: str) -> int:
    """Steps of the sample, from its header where the reader can tell from that."""
    reader = data.readers[name]
    try:
        cell = data.source.cell(row, name) if data.source.present(row, name) else None
        if cell is None:
            return 0
        return reader.measure(cell) if isinstance(reader, Measuring) else len(reader.decode(cell))
    except (ValueError, OSError) as error:
        if data.on_bad_sample == "skip":
            return 0  # the row is skipped, and listed, when its batch is read
        raise DataError(
            f"{data.source.place(row, name)}: {error}; mend the file, or set `on_bad_sample=skip`."
        ) from None

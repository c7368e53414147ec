"""What a run measures, as it happens: `metrics.jsonl` is the source of truth, TensorBoard is a view of it."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmtrain.wholefile import write_whole

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

Row = Mapping[str, object]
_SHOWN = ("train", "evaluation")  # in TensorBoard; others have the same names for a part of the rows or of the model


class Recorder:
    """Appends rows to `metrics.jsonl`, each with `kind` and `step`, and shows their numbers in TensorBoard.

    Args:
        folder: The run's folder.
        tensorboard: Whether to write `tensorboard/` too.
        after_step: Rows beyond this step, left by a run that was killed, are dropped; None: a new run.
    """

    def __init__(self, folder: Path, *, tensorboard: bool, after_step: int | None = None) -> None:
        self.path = folder / "metrics.jsonl"
        if after_step is not None:
            _truncate(self.path, after_step)
        self._file = self.path.open("a", encoding="utf-8")
        self._writer = _writer(folder / "tensorboard", after_step) if tensorboard else None

    def write(self, kind: str, step: int, **values: object) -> None:
        """One row, on its way to the disk when this returns."""
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        self._file.write(json.dumps({"kind": kind, "step": step, **finite}) + "\n")
        self._file.flush()
        if self._writer is not None and kind in _SHOWN:
            split = f"{values['split']}/" if "split" in values else "train/"
            for name, value in values.items():
                if isinstance(value, float) and math.isfinite(value):
                    self._writer.add_scalar(split + name, value, step)

    def sync(self) -> None:
        """Waits until all rows are on the disk; a checkpoint promises the rows before it."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the files."""
        self._file.close()
        if self._writer is not None:
            self._writer.close()


def read_rows(folder: Path) -> list[dict[str, object]]:
    """The rows of a run; a last line that was cut off is left out."""
    path = folder / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rows = []
    for number, line in enumerate(lines):
        try:
            rows.append(json.loads(line))
        except ValueError:
            if number < len(lines) - 1:
                raise
    return rows


def _truncate(path: Path, step: int) -> None:
    """Drops rows beyond the step, and those of the end of a run, which comes again."""
    rows = [row for row in read_rows(path.parent) if isinstance(row["step"], int) and row["step"] <= step]
    kept = [row for row in rows if row["kind"] != "end" and "checkpoint" not in row]
    write_whole(path, "".join(json.dumps(row) + "\n" for row in kept))


def _writer(folder: Path, after_step: int | None) -> SummaryWriter:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=None if after_step is None else after_step + 1)


def write_table(path: Path, columns: Mapping[str, Sequence[object]]) -> None:
    """Columns of equal length as CSV, or as JSON lines where the name ends in `.jsonl`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = zip(*columns.values(), strict=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            file.writelines(json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) + "\n" for row in rows)
        else:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(rows)

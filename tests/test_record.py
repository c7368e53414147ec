"""What a run measures: metrics.jsonl is the source of truth, and TensorBoard shows the same numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmtrain.record import Recorder, read_rows


def shown(folder: Path) -> dict[tuple[str, int], float]:
    """What TensorBoard shows, by name and step."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {(name, one.step): one.value for name in events.Tags()["scalars"] for one in events.Scalars(name)}


def told(folder: Path) -> dict[tuple[str, int], float]:
    """The numbers of metrics.jsonl by the same names."""
    return {
        (f"{row.get('split', 'train')}/{name}", row["step"]): value
        for row in read_rows(folder)
        for name, value in row.items()
        if isinstance(value, float)
    }


def test_tensorboard_shows_the_numbers_of_metrics_jsonl_and_no_others(tmp_path):
    """Killed after step 4 and resumed from step 2, whose later rows are dropped in both."""
    first = Recorder(tmp_path, tensorboard=True)
    for step in (1, 2, 3, 4):
        first.write("train", step, loss=1 / step, grad_norm=float("nan") if step == 1 else 0.1 * step)
    first.write("evaluation", 2, split="val", accuracy=0.75, rows=72)
    first.close()
    again = Recorder(tmp_path, tensorboard=True, after_step=2)
    again.write("train", 3, loss=0.25)
    again.write("evaluation", 3, split="test", accuracy=0.8, rows=72)
    again.close()

    assert shown(tmp_path) == pytest.approx(told(tmp_path))
    assert told(tmp_path)["train/loss", 3] == 0.25
    assert ("train/loss", 4) not in told(tmp_path)
    assert ("test/accuracy", 3) in told(tmp_path)

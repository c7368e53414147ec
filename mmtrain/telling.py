"""What a run tells of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from mmtrain.contracts import Results
from mmtrain.patterns import Pattern, lines
from mmtrain.run import Run

_SHOWN = 16  # scores of a line; a detector of eighty classes has more


def write_evaluation(
    run: Run, split: str, results: Results, metrics: dict[str, float], *, checkpoint: int | None = None
) -> None:
    """One row in metrics.jsonl, and one line for the user.

    Args:
        run: The run.
        split: What was evaluated.
        results: Its outputs.
        metrics: Its scores.
        checkpoint: At the end of a run, the step whose weights were tested.
    """
    step, last = run.state.progress.step, {} if checkpoint is None else {"checkpoint": checkpoint}
    if run.recorder is not None:
        run.recorder.write("evaluation", step, split=split, rows=len(results.ids), loss=results.loss, **metrics, **last)
        numbers = [f"{name} {value:.4g}" for name, value in metrics.items() if not name.endswith("_se")]
        if len(numbers) > _SHOWN:
            numbers[_SHOWN:] = [f"and {len(numbers) - _SHOWN} more in metrics.jsonl"]
        tested = step if checkpoint is None else checkpoint
        run.meter.line(f"step {tested}/{run.total_steps}  {split}  loss {results.loss:.4g}  {'  '.join(numbers)}")


def write_patterns(run: Run, split: str, patterns: Sequence[Pattern], *, checkpoint: int) -> None:
    """One row in metrics.jsonl for each group of rows that have the same modalities, and a table for the user."""
    if run.recorder is not None:
        for one in patterns:
            where = {"split": split, "present": list(one.present), "checkpoint": checkpoint}
            run.recorder.write("pattern", run.state.progress.step, **where, rows=one.rows, **one.metrics)
    for line in lines(patterns, run.task.metric, split):
        run.meter.line(line)

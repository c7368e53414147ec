"""Where the time of a training step goes, by torch.profiler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch.profiler import profile, schedule


@contextmanager
def profiled(folder: Path, steps: int, *, say: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """Traces steps, after one of warm-up, into `folder/profile`; yields what to call after each step.

    Args:
        folder: The run's folder.
        steps: How many to trace; 0: none.
        say: Told the table of the most expensive operations.
    """
    if not steps:
        yield lambda: None
        return

    def written(trace: profile) -> None:
        target = folder / "profile"
        target.mkdir(exist_ok=True)
        trace.export_chrome_trace(str(target / f"steps_1_to_{steps}.json"))
        say(str(trace.key_averages().table(sort_by="self_cpu_time_total", row_limit=15)))

    with profile(schedule=schedule(wait=0, warmup=1, active=steps, repeat=1), on_trace_ready=written) as trace:
        yield trace.step

"""Everything mmtrain says to a person: the only module that prints."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
_QUIET_SECONDS = 30
_logs: list[TextIO] = []


def say(text: str) -> None:
    """Prints a line of results to stdout, and to the log of the run under way."""
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()
    _log(text)


def complain(text: str) -> None:
    """Prints a line about a fault to stderr, and to the log of the run under way."""
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()
    _log(text)


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Inside, everything said is also appended to the file."""
    with path.open("a", encoding="utf-8") as file:
        _logs.append(file)
        try:
            yield
        finally:
            _logs.remove(file)


class Meter:
    """Shows how a run gets on: a bar on a terminal, else a line every 30 s.

    Args:
        total_steps: Optimizer steps of the whole run.
        done: Steps done before, where a run is resumed.
        silent: Another process speaks.
    """

    def __init__(self, total_steps: int, *, done: int = 0, silent: bool = False) -> None:
        self.total_steps, self.silent = total_steps, silent
        self._said: set[str] = set()
        self._start = self._last_line = self._last_step = time.monotonic()
        self._first_step, self._speed = done, 0.0
        visible = not silent and sys.stderr.isatty()
        self._bar = (
            tqdm(total=total_steps, initial=done, unit="step", leave=False, dynamic_ncols=True) if visible else None
        )

    def begin(self) -> None:
        """Starts the clock of the steps anew: what came before them says nothing of how long they take."""
        self._start = self._last_step = time.monotonic()

    def step(self, step: int, *, loss: float, rows: int) -> float:
        """Counts a step of so many rows; returns the speed in samples a second, smoothed over some 10 steps."""
        now = time.monotonic()
        speed = rows / max(now - self._last_step, 1e-9)
        self._speed = speed if not self._speed else 0.9 * self._speed + 0.1 * speed
        self._last_step = now
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.4g}, {self._speed:,.0f} samples/s", refresh=False)
            self._bar.update(1)
        elif not self.silent and now - self._last_line > _QUIET_SECONDS:
            self._last_line = now
            left = (self.total_steps - step) * (now - self._start) / max(1, step - self._first_step)
            say(f"step {step}/{self.total_steps}  loss {loss:.4g}  {self._speed:,.0f} samples/s  eta {duration(left)}")
        return self._speed

    def line(self, text: str) -> None:
        """Says a line between the steps, and starts the next step's clock after it."""
        if not self.silent:
            say(text)
        self._last_step = time.monotonic()

    def once(self, text: str) -> None:
        """Says a line the first time it comes."""
        if text not in self._said:
            self._said.add(text)
            self.line(text)

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()


def progress(items: Iterable[Item], *, total: int, unit: str) -> Iterable[Item]:
    """The items one by one, with a bar on a terminal."""
    bar: Iterable[Item] = tqdm(
        items, total=total, unit=unit, leave=False, dynamic_ncols=True, disable=not sys.stderr.isatty()
    )
    return bar


def duration(seconds: float) -> str:
    """A time for people: `1h02m`, `3m05s`, `12s`."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"


def bytes_of(count: float) -> str:
    """A size for people: `1.2 GB`, `34.0 MB`, `5.6 kB`."""
    unit, name = next((pair for pair in ((1e9, "GB"), (1e6, "MB")) if count >= pair[0]), (1e3, "kB"))
    return f"{count / unit:,.1f} {name}"


def table(rows: Sequence[Sequence[str]], *, indent: str = "") -> str:
    """Rows in aligned columns: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = (
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(indent + line.rstrip() for line in lines)


def data_summary(
    counts: Mapping[str, int], missing: Mapping[str, Mapping[str, float]], *, origin: str, targets: Iterable[str]
) -> str:
    """Rows of each split, where the splits came from, the targets, and the share of rows that lack each modality."""
    modalities = list(next(iter(missing.values())))
    header = ["split", "rows", *(f"{name} missing" for name in modalities)]
    body = [[split, f"{n:,}", *(f"{missing[split][m]:.1%}" for m in modalities)] for split, n in counts.items()]
    return f"data: {'; '.join([f'splits from {origin}', *targets])}\n{table([header, *body], indent='  ')}"


def model_summary(parts: Mapping[str, int]) -> str:
    """Parameters of each part and of the whole."""
    rows = [[name, f"{count:,}"] for name, count in parts.items()]
    return "model: parameters\n" + table([*rows, ["total", f"{sum(parts.values()):,}"]], indent="  ")


def ceiling_lines(ceilings: Mapping[str, float], used: str, value: float) -> str:
    """What is possible at best with each subset of modalities, and where this run stands."""
    rows = [
        [name, f"{best:.3f}", f"<- this run: {value:.3f}" if name == used else ""] for name, best in ceilings.items()
    ]
    return "best possible accuracy on this test split, by what a model can see\n" + table(rows, indent="  ")


def _log(text: str) -> None:
    for file in _logs:
        file.write(text + "\n")
        file.flush()

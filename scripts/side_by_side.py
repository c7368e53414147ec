"""Times loops against one another in one process, in turns, so that a machine that slows down slows all of them."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

WARMUP_STEPS = 3


@dataclass
class Contestant:
    """A loop that is asked for one step after another; each gives its loss."""

    name: str
    steps: Iterator[float]
    seconds: list[float] = field(default_factory=list)  # a step, one entry a round
    losses: list[float] = field(default_factory=list)

    def warm_up(self) -> None:
        self.losses += [next(self.steps) for _ in range(WARMUP_STEPS)]

    def race(self, steps: int) -> None:
        _wait()
        start = time.perf_counter()
        self.losses += [next(self.steps) for _ in range(steps)]
        _wait()
        self.seconds.append((time.perf_counter() - start) / steps)

    @property
    def step(self) -> float:
        return statistics.median(self.seconds)


def race(contestants: Sequence[Contestant], *, rounds: int, steps: int) -> None:
    """Rounds in turn, every second one in reverse order; all start warm."""
    for contestant in contestants:
        contestant.warm_up()
    for number in range(rounds):
        for contestant in contestants if number % 2 == 0 else reversed(contestants):
            contestant.race(steps)


def ratio(one: Contestant, other: Contestant) -> tuple[float, float, float]:
    """How many times as fast `one` is: lowest, median and highest of the rounds."""
    ratios = [theirs / mine for mine, theirs in zip(one.seconds, other.seconds, strict=True)]
    return min(ratios), statistics.median(ratios), max(ratios)


def rows_of(
    title: str, contestants: Sequence[Contestant], reference: Contestant, *, batch_size: int
) -> list[list[str]]:
    """Table rows of one race."""
    rows = []
    for contestant in contestants:
        low, middle, high = ratio(contestant, reference)
        against = "1" if contestant is reference else f"{middle:.3f} ({low:.3f} to {high:.3f})"
        speed = batch_size / contestant.step
        rows.append([title, contestant.name, f"{1e3 * contestant.step:,.1f}", f"{speed:,.0f}", against])
    return rows


def machine(device: str) -> Mapping[str, str]:
    """What the numbers depend on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load before the start {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return {
        "machine": f"{cores} cores, {_processor()}{load}",
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
        "software": f"torch {torch.__version__}, {torch.get_num_threads()} threads, Python {platform.python_version()}",
    }


def cost_rows(
    modules: Mapping[str, nn.Module], macs: Mapping[str, float], racing: Mapping[str, Contestant], reference: str
) -> list[list[str]]:
    """Name, parameters, multiply-adds, time of a step and its ratio to the reference's of each, the quickest first."""
    rows = []
    for name in sorted(racing, key=lambda one: racing[one].step):
        low, middle, high = (1 / value for value in reversed(ratio(racing[name], racing[reference])))
        size = sum(parameter.numel() for parameter in modules[name].parameters())
        against = "1" if name == reference else f"{middle:.2f} ({low:.2f} to {high:.2f})"
        rows.append([f"`{name}`", f"{size:,}", f"{macs[name]:,.0f}", f"{1e3 * racing[name].step:.2f}", against])
    return rows


def multiply_adds(module: nn.Module, given: object) -> float:
    """Those of the matrix products and convolutions in a forward pass; torch counts two operations for each."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # the fused one is not counted
        module(given)
    return float(counter.get_total_flops()) / 2


def show(table: str, file: Path | None) -> None:
    """Prints a table, and writes it into a file where one is named."""
    print(table)
    if file:
        file.write_text(table, encoding="utf-8")


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    """The table and what belongs to it."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in [header, *rows]]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(["| " + " | ".join(line) + " |" for line in lines] + ["", *(f"- {note}" for note in notes), ""])


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()

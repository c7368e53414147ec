"""What mmtrain's loop costs: side by side with a loop written by hand, over the same model, data and order of rows.

    python scripts/benchmark_loop.py --markdown benchmark.md          some 5 minutes on 2 cores; nothing else should run

Three questions, one table: samples a second of LSTM + ResNet18 (64 pixels) + mel CNN against the plain loop, the
milliseconds a step that our loop adds, seen on a tiny model, and what bf16 and channels_last bring. Rounds of the
contestants alternate in one process, so that a machine that slows down slows all of them; a ratio is the median over
the rounds' own ratios. The plain loop decodes with the same readers and computes the same loss: the table says by how
much the losses of the two differ.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from mmtrain import compose, seeding, training
from mmtrain.build import build, settings_of
from mmtrain.contracts import Batch, Signal, Target
from mmtrain.data.dataset import Data
from mmtrain.device import choose
from mmtrain.interrupt import StopFlag
from mmtrain.loop import rest, steps_of_epoch, train_step
from mmtrain.peers import Peers
from mmtrain.report import Meter
from mmtrain.run import Run

BATCH_SIZE = 32
LR = 1e-3
FULL = (
    "experiment=text_image_audio",
    "dataset.train_rows=2880",
    "dataset.val_rows=72",
    "dataset.test_rows=72",
    f"trainer.batch_size={BATCH_SIZE}",
    f"optimizer.lr={LR}",
    "optimizer.weight_decay=0",
    "schedule=constant",
    "trainer.epochs=1000000",
    "trainer.evaluate_unit=step",
    "trainer.evaluate_every=1000000000",
    "trainer.evaluate_first=false",
    "precision=fp32",
)
TINY = (
    *FULL,
    "modalities=[text,image]",
    "encoder/text=bag_of_words",
    "encoder/image=convnet",
    "encoder.image.channels=[4,8]",
    "reader.image.size=16",
    "reader.image.channels=1",
    "width=16",
)
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


class Listener(Meter):
    """Remembers the loss of the last step."""

    loss = 0.0

    def step(self, step: int, *, loss: float, rows: int) -> float:
        self.loss = loss
        return super().step(step, loss=loss, rows=rows)


def ours(run: Run) -> Iterator[float]:
    """The loop of `mmtrain.loop.fit` with a pause after each step; checkpoints and evaluations are none of its time."""
    model = run.peers.wrap(run.state.model, run.compute.device)
    run.meter = listener = Listener(run.total_steps)
    rest(run)
    while True:
        for micros in steps_of_epoch(run):
            train_step(run, model, micros)
            rest(run)
            yield listener.loss


def plain(data: Data, model: nn.Module, device: torch.device, seed: int) -> Iterator[float]:
    """A loop as one writes it by hand for one experiment."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0)
    rows = data.source.splits["train"]
    model.train()
    epoch = 0
    while True:
        order = torch.randperm(len(rows), generator=seeding.generator(seed, epoch, "order")).tolist()
        for start in range(0, len(order), BATCH_SIZE):
            batch = plain_batch(data, [rows[number] for number in order[start : start + BATCH_SIZE]], device)
            logits = model(batch)
            loss = F.cross_entropy(logits, batch.targets["label"].values)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            yield loss.item()
        epoch += 1


def plain_batch(data: Data, rows: Sequence[int], device: torch.device) -> Batch:
    """Reads, pads and stacks complete rows: no missing modality, no weights, no skipped rows."""
    signals = {}
    for name, reader in data.readers.items():
        values = [reader.read(cell, row) for row in rows if (cell := data.source.cell(row, name)) is not None]
        if data.spec.signals[name].length > 1:
            stacked = pad_sequence(values, batch_first=True)
            mask = torch.arange(stacked.shape[1]) < torch.tensor([len(one) for one in values])[:, None]
        else:
            stacked, mask = torch.stack(values), torch.ones(len(rows), 1, dtype=torch.bool)
        signals[name] = Signal(stacked.to(device), mask.to(device))
    labels = [data.targets["label"].encode(data.source.target(row, "label") or "") for row in rows]
    everyone = torch.ones(len(rows), dtype=torch.bool, device=device)
    return Batch(
        signals=signals,
        targets={"label": Target(torch.tensor(labels, device=device), everyone)},
        ids=[data.source.ids[row] for row in rows],
        keys=torch.zeros(0),
        weight=torch.zeros(0),
        rows=dict.fromkeys(signals),
    )


def prepared(folder: Path, *overrides: str) -> Run:
    """A run of mmtrain, ready for its first step; its first weights depend on the overrides only."""
    config = compose.compose([*overrides, f"output_dir={folder}"])
    settings = settings_of(config)
    compute = choose(settings.device, settings.precision, num_threads=None, determinism=settings.determinism)
    torch.manual_seed(seeding.key(settings.seed, "weights"))
    made = Path(tempfile.mkdtemp(dir=folder))
    return training.prepare(build(config), made, compute, Peers(), StopFlag(), resumed=False)


def pair(folder: Path, *overrides: str) -> list[Contestant]:
    """Our loop and the plain one over equal models."""
    run = prepared(folder, *overrides)
    model = copy.deepcopy(run.state.model)
    return [
        Contestant("mmtrain", ours(run)),
        Contestant("plain loop", plain(run.data, model, run.compute.device, run.settings.seed)),
    ]


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


def rows_of(title: str, contestants: Sequence[Contestant], reference: Contestant) -> list[list[str]]:
    """Table rows of one race."""
    rows = []
    for contestant in contestants:
        low, middle, high = ratio(contestant, reference)
        against = "1" if contestant is reference else f"{middle:.3f} ({low:.3f} to {high:.3f})"
        speed = BATCH_SIZE / contestant.step
        rows.append([title, contestant.name, f"{1e3 * contestant.step:,.1f}", f"{speed:,.0f}", against])
    return rows


def overhead(tiny: Sequence[Contestant]) -> str:
    """What a step of ours takes beyond the plain one."""
    more = [1e3 * (mine - theirs) for mine, theirs in zip(tiny[0].seconds, tiny[1].seconds, strict=True)]
    return (
        f"overhead of a step, on the tiny model: {statistics.median(more):.2f} ms "
        f"({min(more):.2f} to {max(more):.2f} over the rounds)"
    )


def difference(contestants: Sequence[Contestant], steps: int) -> str:
    """Whether both loops have learned the same."""
    losses = [list(zip(one.losses, other.losses, strict=True))[:steps] for one, other in [contestants]]
    worst = max(abs(mine - theirs) / abs(theirs) for mine, theirs in losses[0])
    return f"losses of the two loops over their first {len(losses[0])} steps differ by at most {worst:.0e}, relative"


def machine(device: str) -> Mapping[str, str]:
    """What the numbers depend on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load before the start {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return {
        "machine": f"{cores} cores, {_processor()}{load}",
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
        "software": f"torch {torch.__version__}, {torch.get_num_threads()} threads, Python {platform.python_version()}",
    }


def markdown(rows: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    """The table and what belongs to it."""
    header = ["question", "loop", "ms a step", "samples/s", "speed against the first or plain loop"]
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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="alternations; the medians are over them")
    parser.add_argument("--steps", type=int, default=10, help="steps a round; the tiny model takes 5 times as many")
    parser.add_argument("--device", default="auto", help="as in mmtrain")
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    given = parser.parse_args()
    facts = machine("cpu" if given.device == "cpu" or not torch.cuda.is_available() else "cuda")
    device = f"device={given.device}"
    formats = {
        "fp32": (),
        "fp32, channels_last": ("trainer.channels_last=true",),
        "bf16": ("precision=bf16",),
        "bf16, channels_last": ("precision=bf16", "trainer.channels_last=true"),
    }
    # What the runs say, and the bar of a terminal, would be in the way of the table.
    with (
        tempfile.TemporaryDirectory() as name,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        folder = Path(name)
        full = pair(folder, *FULL, device)
        race(full, rounds=given.rounds, steps=given.steps)
        tiny = pair(folder, *TINY, device)
        race(tiny, rounds=given.rounds, steps=5 * given.steps)
        ways = [Contestant(way, ours(prepared(folder, *FULL, device, *more))) for way, more in formats.items()]
        race(ways, rounds=given.rounds, steps=given.steps)
    table = markdown(
        [
            *rows_of("ResNet18 + LSTM + mel CNN", full, full[1]),
            *rows_of("tiny model", tiny, tiny[1]),
            *rows_of("number format, mmtrain", ways, ways[0]),
        ],
        [
            f"goal: mmtrain at .97 of the plain loop or more; found {ratio(*full)[1]:.3f}",
            overhead(tiny),
            difference(full, 20),
            f"batch {BATCH_SIZE}, {given.rounds} rounds of {given.steps} steps ({5 * given.steps} tiny); medians, and "
            "the lowest and highest of the rounds in brackets",
            *(f"{name}: {value}" for name, value in facts.items()),
        ],
    )
    print(table)
    if given.markdown:
        given.markdown.write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()

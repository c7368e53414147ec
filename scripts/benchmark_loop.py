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
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from plain_loop import plain
from side_by_side import Contestant, machine, markdown, race, ratio, rows_of, show

from mmtrain import compose, seeding, training
from mmtrain.build import build
from mmtrain.components import settings_of
from mmtrain.device import choose
from mmtrain.interrupt import StopFlag
from mmtrain.loop import objective_of, rest, steps_of_epoch, train_step
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
    "cache_dir=null",  # both loops decode every row
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


class Listener(Meter):
    """Remembers the loss of the last step."""

    loss = 0.0

    def step(self, step: int, *, loss: float, rows: int) -> float:
        self.loss = loss
        return super().step(step, loss=loss, rows=rows)


def ours(run: Run) -> Iterator[float]:
    """The loop of `mmtrain.loop.fit` with a pause after each step; checkpoints and evaluations are none of its time."""
    objective = objective_of(run)
    run.meter = listener = Listener(run.total_steps)
    rest(run)
    while True:
        for micros in steps_of_epoch(run):
            train_step(run, objective, micros)
            rest(run)
            yield listener.loss


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
        Contestant(
            "plain loop",
            plain(run.data, model, run.compute.device, seed=run.settings.seed, batch_size=BATCH_SIZE, lr=LR),
        ),
    ]


def overhead(tiny: Sequence[Contestant]) -> str:
    """What a step of ours takes beyond the plain one."""
    more = [1e3 * (mine - theirs) for mine, theirs in zip(tiny[0].seconds, tiny[1].seconds, strict=True)]
    return (
        f"overhead of a step, on the tiny model: {statistics.median(more):.2f} ms "
        f"({min(more):.2f} to {max(more):.2f} over the rounds)"
    )


def difference(contestants: Sequence[Contestant], steps: int) -> str:
    """Whether both loops have learned the same."""
    one, other = contestants
    losses = list(zip(one.losses, other.losses, strict=True))[:steps]
    worst = max(abs(mine - theirs) / abs(theirs) for mine, theirs in losses)
    return f"losses of the two loops over their first {len(losses)} steps differ by at most {worst:.0e}, relative"


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
        ["question", "loop", "ms a step", "samples/s", "speed against the first or plain loop"],
        [
            *rows_of("ResNet18 + LSTM + mel CNN", full, full[1], batch_size=BATCH_SIZE),
            *rows_of("tiny model", tiny, tiny[1], batch_size=BATCH_SIZE),
            *rows_of("number format, mmtrain", ways, ways[0], batch_size=BATCH_SIZE),
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
    show(table, given.markdown)


if __name__ == "__main__":
    main()

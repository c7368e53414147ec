"""What each encoder costs: parameters, multiply-adds and the time of a step, those of a kind side by side in one run.

    python scripts/encoder_costs.py --threads 1 --markdown encoder_costs.md      some minutes; nothing else should run

Every encoder in configs/encoder, with its defaults and random weights, reads one random batch of its kind: texts of 16
words, pictures of 3x64x64, sounds of 1 s at 16 kHz, videos of 8 such pictures, rows of 8 numbers, 16 steps of 64
features. Left out are those that are whatever a name on the Hub says. A step is forward and backward, in training mode.
Rounds of all encoders of a kind alternate in one process; a ratio is the median over the rounds' own ratios to the
kind's default. Multiply-adds are those of the matrix products and convolutions in a forward pass, counted by torch.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from side_by_side import Contestant, cost_rows, machine, markdown, multiply_adds, race, show
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from mmtrain import compose
from mmtrain.components import factory_for, node
from mmtrain.contracts import ColumnSpec, Signal, SignalSpec

SPECS = {
    "text": SignalSpec("text", "text", length=16, vocabulary=tuple(f"w{number}" for number in range(10_000))),
    "image": SignalSpec("image", "image", shape=(3, 64, 64)),
    "audio": SignalSpec("audio", "audio", length=16_000, sample_rate=16_000),
    "video": SignalSpec("video", "video", shape=(3, 64, 64), length=8),
    "tabular": SignalSpec("tabular", "tabular", length=8, columns=(ColumnSpec(),) * 8),
    "features": SignalSpec("features", "features", shape=(64,), length=16),
}


def signal_of(spec: SignalSpec, batch_size: int) -> Signal:
    """A random batch in which nothing is padded or absent."""
    steps = 1 if spec.kind == "image" else spec.length
    shape = (batch_size, *spec.shape) if spec.kind == "image" else (batch_size, spec.length, *spec.shape)
    draw = torch.Generator().manual_seed(0)
    words = torch.randint(2, max(3, len(spec.vocabulary)), shape, generator=draw)
    values = words if spec.kind == "text" else torch.randn(shape, generator=draw)
    return Signal(values, torch.ones(batch_size, steps, dtype=torch.bool))


def chosen(kind: str, option: str | None = None) -> object:
    """The entry of a kind in the config, by default or by name."""
    return node(node(compose.compose([f"encoder/{kind}={option}"] if option else []), "encoder"), kind)


def built(kind: str, option: str) -> nn.Module | None:
    """An encoder with the defaults of its YAML file; none where a name decides what it is."""
    config = compose.compose([f"encoder/{kind}={option}"])
    entry = node(node(config, "encoder"), kind)
    if entry.get("name") == "???" or entry.get("pretrained"):
        return None
    torch.manual_seed(0)
    encoder = factory_for(config, "encoder", kind, kind)(SPECS[kind])
    assert isinstance(encoder, nn.Module)
    return encoder


def macs(encoder: nn.Module, signal: Signal) -> float:
    """Multiply-adds a sample; torch counts none of LSTMs, which are added here."""
    added = 0

    def lstm(module: nn.Module, inputs: tuple[Tensor | PackedSequence, ...], _: object) -> None:
        nonlocal added
        given = inputs[0]
        count = len(given.data) if isinstance(given, PackedSequence) else given.shape[0] * given.shape[1]
        added += count * sum(weight.numel() for name, weight in module.named_parameters() if name.startswith("weight"))

    hooks = [module.register_forward_hook(lstm) for module in encoder.modules() if isinstance(module, nn.LSTM)]
    counted = multiply_adds(encoder, signal)
    for hook in hooks:
        hook.remove()
    return (counted + added) / len(signal.values)


def steps(encoder: nn.Module, signal: Signal) -> Iterator[float]:
    """Forward and backward to all parameters, again and again."""
    encoder.train()
    while True:
        loss = encoder(signal).values.square().mean()
        torch.autograd.backward(loss)
        for parameter in encoder.parameters():
            parameter.grad = None
        yield loss.item()


def rows_of(kind: str, *, batch_size: int, rounds: int, steps_a_round: int) -> list[list[str]]:
    """The table's rows of one kind, the quickest first."""
    signal = signal_of(SPECS[kind], batch_size)
    made = {option: built(kind, option) for option in compose.group_options(f"encoder/{kind}")}
    encoders = {option: encoder for option, encoder in made.items() if encoder is not None}
    counted = {option: macs(encoder, signal) for option, encoder in encoders.items()}
    racing = {option: Contestant(option, steps(encoder, signal)) for option, encoder in encoders.items()}
    race(list(racing.values()), rounds=rounds, steps=steps_a_round)
    default = next(option for option in racing if chosen(kind, option) == chosen(kind))
    return [[kind, *row] for row in cost_rows(encoders, counted, racing, default)]


def main() -> None:
    """Races all encoders, kind by kind, and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="steps a round")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads; default: torch's own choice")
    parser.add_argument("--kinds", nargs="+", choices=list(SPECS), default=list(SPECS))
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    facts = machine("cpu")
    header = ["kind", "encoder", "parameters", "multiply-adds a sample", "ms a step", "times the default"]
    rows = []
    for kind in given.kinds:
        rows += rows_of(kind, batch_size=given.batch_size, rounds=given.rounds, steps_a_round=given.steps)
    notes = [f"batches of {given.batch_size}; {given.rounds} rounds of {given.steps} steps, median (lowest to highest)"]
    notes += [f"{name}: {value}" for name, value in facts.items()]
    show(markdown(header, rows, notes), given.markdown)


if __name__ == "__main__":
    main()

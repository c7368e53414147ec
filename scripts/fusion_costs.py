"""What each fusion strategy costs: parameters, multiply-adds and the time of a step, all side by side in one run.

    python scripts/fusion_costs.py --markdown fusion_costs.md        a minute on 2 cores; nothing else should run

Every strategy in configs/fusion, with its defaults, joins the same random tokens; a step is forward and backward, in
training mode, without encoders, head and optimizer. Rounds of all strategies alternate in one process, so that a
machine that slows down slows all of them; a ratio is the median over the rounds' own ratios to `concat`. Multiply-adds
are those of the matrix products in a forward pass, counted by torch.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
import yaml
from side_by_side import Contestant, cost_rows, machine, markdown, multiply_adds, race, show
from torch import nn

from mmtrain import compose
from mmtrain.components import component
from mmtrain.contracts import Tokens

LENGTHS = {"text": 12, "image": 16, "audio": 13, "video": 8}  # tokens a sample


def tokens_of(count: int, batch_size: int, width: int) -> dict[str, Tokens]:
    """Random tokens of the first `count` modalities, nothing padded or absent."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: Tokens(torch.randn(batch_size, length, width, generator=generator), torch.ones(batch_size, length).bool())
        for name, length in list(LENGTHS.items())[:count]
    }


def built(option: str, count: int, width: int) -> nn.Module:
    """A strategy with the defaults of its YAML file."""
    file = compose.option_file("fusion", option)
    assert file is not None, option
    torch.manual_seed(0)
    module = component("fusion", yaml.safe_load(file.read_text("utf-8")), tuple(LENGTHS)[:count], width)
    assert isinstance(module, nn.Module)
    return module


def steps(module: nn.Module, tokens: Mapping[str, Tokens]) -> Iterator[float]:
    """Forward and backward through the module and to its tokens, again and again."""
    module.train()
    leaves = {name: one._replace(values=one.values.clone().requires_grad_()) for name, one in tokens.items()}
    while True:
        loss = module(leaves).pooled.square().mean()
        torch.autograd.backward(loss)
        for tensor in [*module.parameters(), *(one.values for one in leaves.values())]:
            tensor.grad = None
        yield loss.item()


def main() -> None:
    """Races all strategies and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--modalities", type=int, default=3, choices=range(1, 5))
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5, help="steps a round")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads; default: torch's own choice")
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    tokens = tokens_of(given.modalities, given.batch_size, given.width)
    modules = {o: built(o, given.modalities, given.width) for o in compose.group_options("fusion") if o != "none"}
    macs = {option: multiply_adds(module, tokens) / given.batch_size for option, module in modules.items()}
    facts = machine("cpu")
    racing = {option: Contestant(option, steps(module, tokens)) for option, module in modules.items()}
    race(list(racing.values()), rounds=given.rounds, steps=given.steps)
    header = ["fusion", "parameters", "MACs a sample", "ms a step", "times `concat`"]
    shape = " + ".join(f"{LENGTHS[name]} {name}" for name in tokens)
    batches = f"{given.batch_size} samples of {shape} tokens, width {given.width}"
    notes = [f"{batches}; {given.rounds} rounds of {given.steps} steps, median (lowest to highest)"]
    notes += [f"{name}: {value}" for name, value in facts.items()]
    show(markdown(header, cost_rows(modules, macs, racing, "concat"), notes), given.markdown)


if __name__ == "__main__":
    main()

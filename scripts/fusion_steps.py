"""How soon each fusion strategy learns a rule that needs three modalities, once its tokens say clearly what they hold.

    python scripts/fusion_steps.py --markdown fusion_steps.md        some minutes on one core

Without encoders: a digit, a direction and a number are one token each, a fixed random code with noise of .3 added, and
the label is (digit ± number) mod 10. 2,000 rows to train on, 600 new ones to test; AdamW at 1e-3, a warm-up of a tenth
of the steps and half a cosine, batches of 32. What a strategy does not learn here is its own doing; what it learns here
and not in a run, the encoders have not yet learned to say.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from fusion_costs import built
from torch import Tensor, nn

from mmtrain import compose
from mmtrain.contracts import Tokens
from mmtrain.optim import Cosine, adamw, parameter_groups

SIZES = {"text": 2, "image": 10, "audio": 10}  # directions, digits, numbers
WIDTH, TRAIN, TEST, BATCH = 64, 2000, 600, 32
SKIPPED = ("none", "late", "gated", "film")
"""Joins nothing; has no vector of its own to answer with; let one modality act on a sum of the others."""


def rows(count: int, seed: int) -> tuple[dict[str, Tensor], Tensor]:
    """One noisy code a modality, [count,1,WIDTH] each, and the labels [count]."""
    codes = torch.Generator().manual_seed(0)
    generator = torch.Generator().manual_seed(seed)
    meant, tokens = {}, {}
    for name, size in SIZES.items():
        meant[name] = torch.randint(size, (count,), generator=generator)
        code = torch.randn(size, WIDTH, generator=codes)[meant[name]]
        tokens[name] = (code + 0.3 * torch.randn(count, WIDTH, generator=generator)).unsqueeze(1)
    sign = 2 * meant["text"] - 1
    return tokens, (meant["image"] + sign * meant["audio"]) % 10


def accuracies(option: str, epochs: int) -> list[float]:
    """Test accuracy after each epoch."""
    (tokens, labels), (unseen, truth) = rows(TRAIN, 1), rows(TEST, 2)
    model = nn.ModuleDict({"fusion": built(option, len(SIZES), WIDTH)})
    model["head"] = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10))
    optimizer = adamw(parameter_groups(model), lr=1e-3)
    batches = -(-TRAIN // BATCH)
    schedule, step, found = Cosine(epochs * batches, warmup=0.1), 0, []

    def answers(some: dict[str, Tensor], picked: Tensor | slice) -> Tensor:
        given = {n: Tokens(v[picked], torch.ones_like(v[picked][..., 0]).bool()) for n, v in some.items()}
        logits: Tensor = model["head"](model["fusion"](given).pooled)
        return logits

    for epoch in range(epochs):
        model.train()
        order = torch.randperm(TRAIN, generator=torch.Generator().manual_seed(100 + epoch))
        for picked in torch.split(order, BATCH):
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * schedule(step)
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(answers(tokens, picked), labels[picked]))
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
        model.eval()
        with torch.no_grad():
            right = answers(unseen, slice(None)).argmax(dim=1) == truth
        found.append(right.float().mean().item())
    return found


def main() -> None:
    """Trains every strategy and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines = ["| fusion | a third of the epochs | two thirds | at the end |", "|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    for option in compose.group_options("fusion"):
        if option not in SKIPPED:
            found = accuracies(option, given.epochs)
            told = (found[given.epochs * part // 3 - 1] for part in (1, 2, 3))
            lines.append(f"| `{option}` | " + " | ".join(f"{value:.2f}" for value in told) + " |")
            print(lines[-1], flush=True)
    if given.markdown:
        given.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

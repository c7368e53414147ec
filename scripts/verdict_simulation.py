"""Whether the verdicts of a study can be believed: simulated studies, judged by the function that judges real ones.

A row is right where a normal sum is below the quantile of the variant's true accuracy. The sum has a part of the row
(how hard it is, for all variants and seeds), one of the row for the variant (what this variant finds hard), one of the
run (seed), and noise. Every study draws new rows and new seeds, as a user does who repeats it.

    python scripts/verdict_simulation.py
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri
from tqdm import trange

from mmtrain.significance import MOST_UNITS, Scores, compare


@dataclass(frozen=True)
class World:
    """Shares of the variance of a row's sum; noise has what they leave, and the seed moves the sum of a whole run."""

    name: str
    row: float
    variant: float
    seed_sd: float


WORLDS = (
    World("steady seeds, rows alike for all variants", row=0.7, variant=0.05, seed_sd=0.02),
    World("seeds that move a run by a point", row=0.55, variant=0.1, seed_sd=0.06),
    World("variants that differ in what they find hard", row=0.4, variant=0.3, seed_sd=0.06),
    World("unsteady seeds", row=0.55, variant=0.1, seed_sd=0.15),
)


def study(
    random: np.random.RandomState, world: World, gains: list[float], *, accuracy: float, seeds: int, rows: int
) -> tuple[Scores, dict[str, Scores]]:
    """The scores of a reference and of variants that are truly better by `gains`."""
    noise = 1 - world.row - world.variant
    common = np.sqrt(world.row) * random.standard_normal(rows)
    made = []
    for gain in [0.0, *gains]:
        own = np.sqrt(world.variant) * random.standard_normal(rows)
        shift = world.seed_sd * random.standard_normal((seeds, 1))
        total = common + own + shift + np.sqrt(noise) * random.standard_normal((seeds, rows))
        # The shift widens the sum's law over all runs; its quantile makes `accuracy + gain` the mean over seeds.
        right = total < ndtri(accuracy + gain) * np.sqrt(1 + world.seed_sd**2)
        size = -(-rows // MOST_UNITS)  # rows a unit; the mean over a unit is its pseudo-value, units being equal
        units = right.reshape(seeds, rows // size, size).mean(axis=2)
        made.append(Scores(right.mean(axis=1), units))
    return made[0], {f"variant {number}": scores for number, scores in enumerate(made[1:], 1)}


def rate(world: World, gains: list[float], wanted: set[str], arguments: argparse.Namespace, title: str) -> float:
    """Share of studies in which any variant with a gain (or, where none has one, any variant) gets a wanted verdict."""
    random = np.random.RandomState(arguments.seed)
    hits = 0
    shape = {"accuracy": arguments.accuracy, "seeds": arguments.seeds, "rows": arguments.rows}
    for _ in trange(arguments.studies, desc=title, leave=False):
        reference, variants = study(random, world, gains, **shape)
        made = compare({name: (variant, reference) for name, variant in variants.items()})
        verdicts = {name: comparison.verdict for name, comparison in made.items()}
        told = [verdicts["variant 1"]] if gains[0] else list(verdicts.values())
        hits += bool(wanted & set(told))
    return hits / arguments.studies


def smallest(world: World, arguments: argparse.Namespace) -> float:
    """The smallest gain, in steps of half a point, that a study of one comparison finds 80 % of the time."""
    gain = 0.005
    while rate(world, [gain], {"helps"}, arguments, f"{gain:.1%}") < 0.8:
        gain += 0.005
    return gain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000, help="simulated studies of each kind")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of a study")
    parser.add_argument("--rows", type=int, default=600, help="test rows; a multiple of 200, or at most 200")
    parser.add_argument("--accuracy", type=float, default=0.9, help="true accuracy of the reference")
    parser.add_argument("--gain", type=float, default=0.03, help="true gain of a variant that helps")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(
        f"{arguments.studies:,} studies each; {arguments.seeds} seeds, {arguments.rows} test rows, accuracy "
        f"{arguments.accuracy:.2f}; helps or hurts where nothing does (1 and 6 variants), helps where one of 1 or 6 "
        f"variants gains {arguments.gain:.1%}, smallest gain found in 80 % of studies (1 variant)"
    )
    print("| runs | false, 1 | false, 6 | found, 1 | found, 6 | smallest gain |\n|---|---|---|---|---|---|")
    for world in WORLDS:
        wrong = [rate(world, [0.0] * count, {"helps", "hurts"}, arguments, "no effect") for count in (1, 6)]
        found = [rate(world, [arguments.gain, *[0.0] * (n - 1)], {"helps"}, arguments, "gain") for n in (1, 6)]
        cells = [world.name, *(f"{share:.1%}" for share in [*wrong, *found]), f"{smallest(world, arguments):.1%}"]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()

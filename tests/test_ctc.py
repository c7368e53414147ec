"""CTC: texts from paths, against all paths written out."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict

import pytest
import torch

from mmtrain.ctc import best_path, best_prefix, steps_needed


def likeliest(log_probabilities: torch.Tensor) -> list[int]:
    """By every path there is."""
    found: defaultdict[tuple[int, ...], float] = defaultdict(float)
    for path in itertools.product(range(log_probabilities.shape[1]), repeat=len(log_probabilities)):
        text = tuple(label for label, _ in itertools.groupby(path) if label)
        found[text] += math.exp(sum(log_probabilities[step, label].item() for step, label in enumerate(path)))
    assert sum(found.values()) == pytest.approx(1, abs=1e-5)
    return list(max(found, key=found.__getitem__))


@pytest.mark.parametrize(("labels", "steps"), [([], 0), ([3], 1), ([1, 2], 2), ([1, 1], 3), ([2, 2, 2, 1, 1], 8)])
def test_equal_neighbours_need_a_blank_between_them(labels: list[int], steps: int) -> None:
    """torch's loss is finite with so many steps, and infinite with one fewer."""
    assert steps_needed(labels) == steps
    for given in {steps, max(1, steps - 1)} - {0}:
        even = torch.full((given, 1, 4), math.log(1 / 4))
        loss = torch.nn.functional.ctc_loss(
            even, torch.tensor([labels], dtype=torch.int64), torch.tensor([given]), torch.tensor([len(labels)])
        )
        assert bool(torch.isfinite(loss)) == (given >= steps)


def test_the_likeliest_path_is_collapsed_by_hand() -> None:
    """1 1 - 1 2 2 - reads 1 1 2."""
    path = torch.nn.functional.one_hot(torch.tensor([1, 1, 0, 1, 2, 2, 0]), 3).float().log_softmax(dim=1)

    assert best_path(path) == [1, 1, 2]
    assert best_path(path[:0]) == []


def test_paths_of_one_text_count_together() -> None:
    """At two steps of blank .6, label .4 the path of two blanks leads with .36, and the text "1" with .64."""
    steps = torch.tensor([[0.6, 0.4], [0.6, 0.4]]).log()

    assert best_path(steps) == []
    assert best_prefix(steps, beam_size=4) == [1]


@pytest.mark.parametrize("seed", range(6))
def test_a_beam_that_drops_nothing_is_exact(seed: int) -> None:
    """Five steps of three labels and blank: 1,024 paths."""
    steps = torch.randn(5, 4, generator=torch.Generator().manual_seed(seed)).log_softmax(dim=1)

    assert best_prefix(steps, beam_size=10_000) == likeliest(steps)


def over_all_labels(log_probabilities: torch.Tensor, beam_size: int) -> list[int]:
    """The same search, in probabilities, with a look at every label after every beginning."""
    beams: dict[tuple[int, ...], list[float]] = {(): [1.0, 0.0]}
    for step in log_probabilities.double().exp().tolist():
        grown: defaultdict[tuple[int, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
        for text, (blank, label) in beams.items():
            grown[text][0] += (blank + label) * step[0]
            for number in range(1, len(step)):
                again = text[-1:] == (number,)
                grown[*text, number][1] += (blank if again else blank + label) * step[number]
                grown[text][1] += label * step[number] if again else 0.0
        beams = dict(sorted(grown.items(), key=lambda one: -sum(one[1]))[:beam_size])
    return list(max(beams, key=lambda text: sum(beams[text])))


@pytest.mark.parametrize("beam_size", [1, 2, 5])
def test_labels_that_no_beam_would_keep_need_no_look(beam_size: int) -> None:
    """Twelve steps of 40 labels, eight times: few labels a step are looked at, and the text is the same."""
    for seed in range(8):
        steps = torch.randn(12, 41, generator=torch.Generator().manual_seed(seed)).log_softmax(dim=1)

        assert best_prefix(steps, beam_size) == over_all_labels(steps, beam_size)


def test_what_can_never_be_is_never_said() -> None:
    """Probabilities of 0 are no numbers to add up."""
    never = -math.inf

    assert best_prefix(torch.tensor([[never, 0.0], [0.0, never], [never, 0.0]]), beam_size=2) == [1, 1]

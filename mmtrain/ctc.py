"""Connectionist temporal classification: from one answer a time step to a text, and how many steps a text needs.

After Graves et al. 2006, "Connectionist Temporal Classification", https://www.cs.toronto.edu/~graves/icml_2006.pdf: a
path names a label or the blank at every step; its text is what remains when runs of one label become one, and blanks
nothing. The loss is torch's; torchaudio's beam search needs a package of its own, so ours is below. Label 0 is blank.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

BLANK = 0
_NEVER = -math.inf


def steps_needed(labels: Sequence[int]) -> int:
    """The fewest time steps that can say the labels: one each, and a blank between two equal neighbours."""
    return len(labels) + sum(one == other for one, other in pairwise(labels))


def best_path(log_probabilities: Tensor) -> list[int]:
    """The labels of the likeliest path [T,K]; not always the likeliest labels, whose paths count together."""
    path: list[int] = log_probabilities.argmax(dim=-1).tolist() if len(log_probabilities) else []
    return [label for label, before in zip(path, [BLANK, *path], strict=False) if label not in (BLANK, before)]


def best_prefix(log_probabilities: Tensor, beam_size: int) -> list[int]:
    """The likeliest labels of [T,K], over all their paths, as far as `beam_size` beginnings kept a step can tell.

    Prefix search as in Hannun et al. 2014, "First-Pass Large Vocabulary Continuous Speech Recognition using
    Bi-Directional Recurrent DNNs", https://arxiv.org/abs/1408.2873, without a language model. Of each beginning it
    keeps the probability of the paths that end in a blank and of those that do not. Exact where nothing is dropped.
    """
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, _NEVER)}  # logarithms: ending in a blank, in a label
    # Of one beginning no more than `beam_size` continuations are kept, the likeliest; one more, as the last label again
    # is judged otherwise. So the others need no look, of which there are many where labels are pieces of words.
    most = min(beam_size + 1, log_probabilities.shape[1] - 1)
    likely = (log_probabilities[:, 1:].topk(most, dim=1).indices + 1).tolist()
    for step, first in zip(log_probabilities.tolist(), likely, strict=True):
        grown: defaultdict[tuple[int, ...], list[float]] = defaultdict(lambda: [_NEVER, _NEVER])
        onward: defaultdict[tuple[int, ...], set[int]] = defaultdict(set)  # labels that lead to another of the beams
        for longest in beams:
            onward[longest[:-1]].update(longest[-1:])
        for prefix, (blank, label) in beams.items():
            total, stay = _add(blank, label), grown[prefix]
            stay[0] = _add(stay[0], total + step[BLANK])
            for number in sorted({*first, *prefix[-1:], *onward.get(prefix, ())}):
                value, longer = step[number], grown[(*prefix, number)]
                if prefix and prefix[-1] == number:
                    stay[1] = _add(stay[1], label + value)  # the same label goes on
                    longer[1] = _add(longer[1], blank + value)  # a second one needs a blank before it
                else:
                    longer[1] = _add(longer[1], total + value)
        kept = sorted(grown.items(), key=lambda one: -_add(*one[1]))[:beam_size]
        beams = {prefix: (blank, label) for prefix, (blank, label) in kept}
    best = max(beams, key=lambda prefix: _add(*beams[prefix]))
    return list(best)


def _add(one: float, other: float) -> float:
    """log(exp(one) + exp(other))."""
    high, low = (one, other) if one > other else (other, one)
    return high if low == _NEVER else high + math.log1p(math.exp(low - high))

"""Class names that a person would take for one another: they differ in case, blanks or the form of signs only.

They are learned as different classes, as labels are compared exactly; a note says so, since seldom is that meant.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from mmtrain.target import Target, TargetSpec


def lookalikes(spec: TargetSpec) -> list[list[int]]:
    """Groups of classes, by number, whose names look alike; in each the commonest first."""
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(spec.classes):
        groups[" ".join(unicodedata.normalize("NFKC", name).casefold().split())].append(number)
    return [sorted(group, key=lambda n: -spec.counts[n]) for group in groups.values() if len(group) > 1]


def rows_of_lookalikes(spec: TargetSpec, targets: Iterable[tuple[int, Target]]) -> dict[tuple[str, str], list[int]]:
    """The rows that have a class which looks like a commoner one, by the names of both.

    Args:
        spec: The classes.
        targets: Rows with what they have; not looked at where no names look alike.
    """
    rarer = {number: group[0] for group in lookalikes(spec) for number in group[1:]}
    rows: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, target in targets if rarer else ():
        for number in sorted(_classes_of(spec, target) & rarer.keys()):
            rows[spec.classes[number], spec.classes[rarer[number]]].append(row)
    return rows


def _classes_of(spec: TargetSpec, target: Target) -> set[int]:
    """A row's own class, those of its tags, or those of its boxes."""
    if spec.kind == "boxes":
        return {int(number) for number in target.ragged[0][:, 0].tolist()}
    found = target.tensor[0]
    return set(found.nonzero().flatten().tolist()) if spec.kind == "multilabel" else {int(found)}

"""Targets that are numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import torch

from mmtrain.data.targets.cells import shown
from mmtrain.target import Target, TargetSpec

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


class NumberTarget:
    """One number a row, standardised: less the mean and divided by the standard deviation of the training rows.

    Args:
        name: Name of the target column.
    """

    kind = "number"
    remarks: Sequence[str] = ()

    def __init__(self, name: str) -> None:
        self.name = name
        self._mean, self._deviation = 0.0, 1.0

    def check(self, value: str) -> None:
        """Whether the cell is a number.

        Raises:
            ValueError: It is none, or not finite.
        """
        self._number(value)

    def fit(self, values: Iterable[str]) -> TargetSpec:
        """Learns mean and standard deviation.

        Raises:
            ValueError: There is no number, or all are equal.
        """
        numbers = [self._number(value) for value in values]
        if len(set(numbers)) < 2:
            found = f"only {numbers[0]:g}" if numbers else "none"
            raise ValueError(f"`{self.name}` needs two different numbers at least in the training rows, found {found}")
        try:
            mean = math.fsum(numbers) / len(numbers)
            deviation = math.sqrt(math.fsum((number - mean) ** 2 for number in numbers) / len(numbers))
        except OverflowError:
            deviation = math.inf
        if not 0 < deviation < math.inf:
            raise ValueError(f"the numbers of `{self.name}` are too large or too close together for their deviation")
        spec = TargetSpec(self.name, self.kind, mean=mean, deviation=deviation)
        self.restore(spec)
        return spec

    def restore(self, spec: TargetSpec) -> None:
        """Takes mean and deviation of `spec`."""
        self._mean, self._deviation = spec.mean, spec.deviation

    def encode(self, value: str, key: int | None = None) -> Target:
        """The number, standardised, [1] float32.

        Raises:
            ValueError: It is none, or too many deviations from the mean for float32.
        """
        standardised = torch.tensor([(self._number(value) - self._mean) / self._deviation], dtype=torch.float32)
        if not standardised.isfinite().all():
            raise ValueError(f"{shown(value)} is out of reach of the training rows, of {self._mean:.3g} on average")
        return Target(standardised, torch.tensor([True]))

    def absent(self) -> Target:
        """The mean, under the mask."""
        return Target(torch.zeros(1), torch.tensor([False]))

    def _number(self, value: str) -> float:
        number = float(value) if _NUMBER.fullmatch(value) else math.nan
        if not math.isfinite(number):
            raise ValueError(f"{shown(value)} is no finite number such as -1.5 or 2e3")
        return number

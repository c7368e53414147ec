"""Geometry of the curves in a report: where lines, ticks and marks lie; the template draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

Points = Sequence[tuple[float, float]]
"""x and y of each measurement, by x."""

COLOURS = ("#1f5fa8", "#b4500f", "#1b7a3d", "#7a3d9a", "#8a6d00", "#595959")  # of series, in their order
WIDTH, HEIGHT = 360, 220  # units of the viewBox; a phone shows them at about one pixel each, so that text stays legible
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 8, 34  # margins, for the labels
_DOT_LEFT, _NAME, _LINE, _GAP = 8, 14, 11, 5  # of a chart of dots: its margin, and heights of what stands in it
_MOST_POINTS = 300
_MOST_DOTS = 40


class Tick(NamedTuple):
    """A labelled place on an axis."""

    at: float
    label: str


class Line(NamedTuple):
    """One curve: the points of its polyline, and those that also get a dot, where there are few."""

    name: str
    path: str
    dots: Sequence[tuple[float, float]]


class Chart(NamedTuple):
    """A drawing in `WIDTH` x `HEIGHT` units, y downwards."""

    lines: Sequence[Line]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    mark: float | None  # x of a vertical line
    level: float | None  # y of a horizontal line


def line_chart(
    series: Mapping[str, Points], *, mark: float | None = None, level: float | None = None, whole: bool = True
) -> Chart | None:
    """Curves over one x axis.

    Args:
        series: The points of each curve by name; a curve without points is left out.
        mark: An x to mark by a vertical line.
        level: A y to mark by a horizontal line.
        whole: The x are whole numbers.

    Returns:
        None where there is no point at all.
    """
    thin = {name: thinned(points) for name, points in series.items() if points}
    if not thin:
        return None
    marks_x, marks_y = [x for x in [mark] if x is not None], [y for y in [level] if y is not None]
    x_values = ticks([*(x for points in thin.values() for x, _ in points), *marks_x], whole=whole)
    y_values = ticks([*(y for points in thin.values() for _, y in points), *marks_y])

    def place_x(x: float) -> float:
        return _place(x, x_values, LEFT, WIDTH - RIGHT)

    def place_y(y: float) -> float:
        return _place(y, y_values, HEIGHT - BOTTOM, TOP)

    lines = []
    for name, points in thin.items():
        placed = [(place_x(x), place_y(y)) for x, y in points]
        path = " ".join(f"{x:g},{y:g}" for x, y in placed)
        lines.append(Line(name, path, placed if len(placed) <= _MOST_DOTS else []))
    return Chart(
        lines,
        [Tick(place_x(x), f"{x:,.0f}" if whole else f"{x:.6g}") for x in x_values],
        [Tick(place_y(y), f"{y:.6g}") for y in y_values],
        None if mark is None else place_x(mark),
        None if level is None else place_y(level),
    )


class Dot(NamedTuple):
    """A measured value with its interval from `low` to `high`, of one of several series."""

    series: str
    at: float
    low: float
    high: float


class Group(NamedTuple):
    """Dots that share a name, each on a line of its own, and the best that is possible for all of them."""

    name: str
    dots: Sequence[Dot]
    limit: float | None


class Lane(NamedTuple):
    """A placed group: where its name stands and its lines run, y downwards."""

    name: str
    at: float
    top: float
    bottom: float
    dots: Sequence[tuple[int, float, float, float, float]]  # number of the series, y, x, x of both ends
    limit: float | None  # x


class DotChart(NamedTuple):
    """A drawing `WIDTH` wide and `height` high."""

    lanes: Sequence[Lane]
    series: Sequence[str]
    x_ticks: Sequence[Tick]
    height: float


def dot_chart(groups: Sequence[Group]) -> DotChart:
    """Values with intervals, side by side in groups, each below its name."""
    series = list(dict.fromkeys(dot.series for group in groups for dot in group.dots))
    found = [x for group in groups for dot in group.dots for x in (dot.low, dot.high)]
    found += [group.limit for group in groups if group.limit is not None]
    x_values = ticks(found)
    axis = (x_values[0], max(x_values[1], *found))  # ends with the values: an accuracy's does not go to 1.2

    def place(x: float) -> float:
        return _place(x, axis, _DOT_LEFT, WIDTH - 2 * RIGHT)

    lanes, y = [], float(TOP)
    for group in groups:
        first = y + _NAME
        dots = [
            (series.index(dot.series), first + (number + 0.5) * _LINE, place(dot.at), place(dot.low), place(dot.high))
            for number, dot in enumerate(group.dots)
        ]
        bottom = first + len(group.dots) * _LINE
        limit = None if group.limit is None else place(group.limit)
        lanes.append(Lane(group.name, y + _NAME - 3, first, bottom, dots, limit))
        y = bottom + _GAP
    return DotChart(lanes, series, [Tick(place(x), f"{x:.6g}") for x in x_values if x <= axis[-1]], y + BOTTOM)


def ticks(values: Sequence[float], *, whole: bool = False, count: int = 5) -> list[float]:
    """Round numbers in equal steps, about `count`, of which the first and last enclose all values.

    `whole`: Whole numbers only.
    """
    low, high = min(values), max(values)
    rough = (high - low) / count or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    if whole:
        step = max(1.0, step)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]


def thinned(points: Points, most: int = _MOST_POINTS) -> Points:
    """At most so many points: means of neighbours, as many in each."""
    size = math.ceil(len(points) / most)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def _place(value: float, axis: Sequence[float], start: float, end: float) -> float:
    return round(start + (value - axis[0]) / (axis[-1] - axis[0]) * (end - start), 1)

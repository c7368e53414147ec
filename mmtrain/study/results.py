"""From finished cells to the rows of a study's table: means, intervals, differences, verdicts and costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import TypedDict, cast

import numpy as np
import torch

from mmtrain.build import build_task
from mmtrain.contracts import Results
from mmtrain.data.spec_file import load_spec
from mmtrain.protocols import DataSource
from mmtrain.significance import Comparison, Scores, Summary, bootstrap, compare, summarise
from mmtrain.study.cell_run import OUTPUTS, load_outputs, units_of
from mmtrain.study.cells import Cell, Grid, Label
from mmtrain.study.question import Question

ENSEMBLE = "logit ensemble of "


class Result(TypedDict):
    """What `result.json` of a cell holds; see `mmtrain.study.cell_run`."""

    metric: str
    higher_is_better: bool
    split: str
    rows: int
    value: float
    val: float | None
    metrics: dict[str, float]
    units: list[float]
    parameters: int
    steps: int
    best_step: int
    seconds: float | None
    peak_memory_bytes: int | None
    ms_per_sample: float | None
    data: str


@dataclass(frozen=True)
class Row:
    """One line of the table: all seeds of one label, or an ensemble of such.

    Attributes:
        label: As of its cells.
        note: "reference", how many seeds have failed.
        results: By seed.
        summary: Of the metric over seeds.
        comparison: With the reference; None for itself, and where there is no interval.
        by_units: The bootstrap interval of the difference over test units alone, the seeds as they are.
        ceiling: The best that is possible for its modalities, where the data know it.
    """

    label: Label
    note: str
    results: Mapping[int, Result]
    summary: Summary
    comparison: Comparison | None = None
    by_units: tuple[float, float] | None = None
    ceiling: float | None = None

    @property
    def is_reference(self) -> bool:
        """Whether all others are held against it."""
        return self.note.startswith("reference")

    def cost(self, name: str) -> float | None:
        """Mean of `parameters`, `seconds`, `peak_memory_bytes` or `ms_per_sample` over the seeds that know it."""
        found = [cast(float | None, result.get(name)) for result in self.results.values()]
        known = [value for value in found if value is not None]
        return fmean(known) if known else None

    @property
    def val(self) -> float | None:
        """Mean of the metric on val at the chosen steps: what a choice between rows may be made by."""
        known = [result["val"] for result in self.results.values() if result["val"] is not None]
        return fmean(known) if known else None


@dataclass(frozen=True)
class Table:
    """All rows, the reference among them, and what is common to them."""

    rows: Sequence[Row]
    metric: str
    higher_is_better: bool
    split: str
    test_rows: int
    units: int
    trials: int
    row_error: float | None  # standard error of the reference's score from its test units alone

    @property
    def best(self) -> Row:
        """The row that validation would choose."""
        sign = 1 if self.higher_is_better else -1
        return max(self.rows, key=lambda row: -np.inf if row.val is None else sign * row.val)


def tabulate(
    question: Question,
    grid: Grid,
    finished: Mapping[str, tuple[Path, Result]],
    source: DataSource,
) -> Table | None:
    """The table of all cells that have finished; None where none has."""
    cells: dict[Label, dict[int, Cell]] = {}
    for cell in grid.cells:
        cells.setdefault(cell.label, {})[cell.seed] = cell
    by_label = {
        label: {seed: finished[cell.identity][1] for seed, cell in seeds.items() if cell.identity in finished}
        for label, seeds in cells.items()
    }
    rows = [
        _row(label, results, _note(len(cells[label]) - len(results)), question, grid, source)
        for label, results in by_label.items()
        if results
    ]
    if not rows:
        return None
    rows += [
        _row(label, results, "", question, grid, source)
        for label, results in _ensembles(question, grid, cells, finished, source)
        if results
    ]
    rows = _compared(rows, grid.reference, question)
    first = next(iter(rows[0].results.values()))
    reference = next((row for row in rows if row.is_reference), rows[0])
    units = np.array([result["units"] for result in reference.results.values()])
    error = float(np.mean(units.std(axis=1, ddof=1)) / np.sqrt(units.shape[1])) if units.shape[1] > 1 else None
    return Table(
        rows,
        first["metric"],
        first["higher_is_better"],
        first["split"],
        first["rows"],
        len(first["units"]),
        len({cell.identity for cell in grid.cells}),
        error,
    )


def _note(failed: int) -> str:
    return f"{failed} failed" if failed else ""


def _row(
    label: Label, results: Mapping[int, Result], note: str, question: Question, grid: Grid, source: DataSource
) -> Row:
    values = [result["value"] for result in results.values()]
    first = next(iter(results.values()))
    known = first["split"] == "test" and first["metric"] == "accuracy"
    ceiling = source.ceilings.get(dict(label)["modalities"].removeprefix(ENSEMBLE)) if known else None
    return Row(label, note, results, summarise(values, question.settings.confidence or 0.95), ceiling=ceiling)


def _compared(rows: Sequence[Row], reference: Label, question: Question) -> list[Row]:
    """The rows with their comparisons, each paired over the seeds that it and the reference both have."""
    base = next((row for row in rows if row.label == reference), None)
    if base is None:
        return list(rows)
    confidence, first = question.settings.confidence, next(iter(base.results.values()))
    pairs = {}
    for number, row in enumerate(rows):
        seeds = sorted(set(row.results) & set(base.results))
        if row is not base and confidence is not None and len(seeds) > 1 and len(first["units"]) > 1:
            pairs[str(number)] = _scores(row, seeds), _scores(base, seeds)
    better = first["higher_is_better"]
    found = compare(pairs, higher_is_better=better, confidence=confidence or 0.95)
    made = list(rows)
    for name, comparison in found.items():
        one, other = pairs[name]
        units = (1 if better else -1) * (one.units - other.units).mean(axis=0)
        by_units = bootstrap(units, confidence or 0.95)
        made[int(name)] = replace(made[int(name)], comparison=comparison, by_units=by_units)
    made[rows.index(base)] = replace(base, note=", ".join(filter(None, ["reference", base.note])))
    return made


def _scores(row: Row, seeds: Iterable[int]) -> Scores:
    chosen = [row.results[seed] for seed in seeds]
    return Scores(np.array([one["value"] for one in chosen]), np.array([one["units"] for one in chosen]))


def _ensembles(
    question: Question,
    grid: Grid,
    cells: Mapping[Label, Mapping[int, Cell]],
    finished: Mapping[str, tuple[Path, Result]],
    source: DataSource,
) -> Iterable[tuple[Label, dict[int, Result]]]:
    """The mean of the logits of the runs of each modality alone, by seed, for each choice on the other axes."""
    names = [name for name in grid.modalities if any(dict(label)["modalities"] == name for label in cells)]
    if len(names) < 2:
        return
    others = dict.fromkeys(label[1:] for label in cells if dict(label)["modalities"] in names)
    for other in others:
        members = [cells.get((("modalities", name), *other), {}) for name in names]
        label: Label = (("modalities", f"{ENSEMBLE}{'+'.join(names)}"), *other)
        results = {}
        for seed in range(question.settings.seeds):
            found = [finished.get(seeds[seed].identity) if seed in seeds else None for seeds in members]
            if None not in found:
                made = [one for one in found if one is not None]
                outputs = [one for folder, _ in made if (one := load_outputs(folder / OUTPUTS)) is not None]
                if len(outputs) == len(names) and len({tuple(one.ids) for one in outputs}) == 1:
                    results[seed] = _ensemble(made, outputs, members[0][seed], question, source)
        yield label, results


def _ensemble(
    members: Sequence[tuple[Path, Result]],
    outputs: Sequence[Results],
    cell: Cell,
    question: Question,
    source: DataSource,
) -> Result:
    """The result of runs whose outputs are averaged; it costs what they cost together."""
    first = members[0][1]
    task = build_task(cell.config, load_spec(members[0][0]))
    mean = outputs[0]._replace(outputs=torch.stack([one.tensor for one in outputs]).mean(dim=0))
    metrics = task.metrics(mean)
    totals = {
        name: None if None in values else sum(cast(list[float], values))
        for name in ("parameters", "seconds", "ms_per_sample")
        for values in [[cast(float | None, result.get(name)) for _, result in members]]
    }
    peaks = [result["peak_memory_bytes"] for _, result in members]
    made = {
        **first,
        **totals,
        "peak_memory_bytes": None if None in peaks else max(cast(list[int], peaks)),
        "value": metrics[task.metric],
        "val": None,
        "metrics": metrics,
        "units": units_of(task, mean, source, first["split"], question.settings.group),
    }
    return cast(Result, made)

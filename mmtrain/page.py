"""The page of a run, `report.html`: one file to read, print or send, which needs nothing but a browser.

All numbers come from `metrics.jsonl` and from what is handed in; all text passes through Jinja's escaping, since names
of classes and modalities come from data that anybody may have made. No script, no request: its own policy
forbids both, and allows the pictures and sounds that are in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from mmtrain import breakdown, charts
from mmtrain.charts import Chart, Points
from mmtrain.contracts import Results
from mmtrain.data.dataset import Data
from mmtrain.exhibits import exhibits
from mmtrain.offers import Curved
from mmtrain.patterns import Pattern
from mmtrain.protocols import Task
from mmtrain.record import read_rows

Row = Mapping[str, object]


class Score(NamedTuple):
    """One metric, on the split that counts and on val at the best step."""

    name: str
    final: float | None
    final_error: float | None
    best: float | None
    best_error: float | None


def write(
    folder: Path,
    *,
    data: Data,
    task: Task,
    results: Results,
    parameters: Mapping[str, int],
    split: str,
    best_step: int,
    patterns: Sequence[Pattern] = (),
) -> Path:
    """Writes the page into the run's folder.

    Args:
        folder: The run; `metrics.jsonl`, `environment.json` and `command.txt` are read from it.
        data: What was trained on.
        task: What was asked.
        results: The outputs on `split`.
        parameters: Parameters of each part of the model.
        split: The split that the run is judged by.
        best_step: The step whose weights were judged.
        patterns: The scores by the modalities that rows have, where these differ.
    """
    rows = read_rows(folder)
    evaluations = [row for row in rows if row["kind"] == "evaluation"]
    final = [row for row in evaluations if row["split"] == split][-1]
    used = "+".join(name for name in data.source.kinds if name in data.spec.signals)
    ceilings = data.spec.ceilings if split == "test" else {}
    accuracy = _number(final.get("accuracy"))
    html = render(
        "page.html",
        name_of_run=folder.name,
        study=folder.parent.name,
        command=_text(folder / "command.txt").strip(),
        metric=task.metric,
        split=split,
        final=final,
        value=_number(final.get(task.metric)),
        error_of_value=_number(final.get(f"{task.metric}_se")),
        best_step=best_step,
        last_step=max((int(str(row["step"])) for row in rows), default=0),
        speed=_speed(rows),
        left_out=sum(row["kind"] == "nonfinite" for row in rows),
        used=used,
        accuracy=accuracy,
        ceilings=ceilings,
        counts={name: len(numbers) for name, numbers in data.source.splits.items()},
        missing=data.missing(),
        origin=data.source.split_origin,
        notes=[*data.source.notes, *data.notes],
        targets=[data.spec.targets[name] for name in task.targets],
        most_classes=breakdown.MOST_CLASSES,
        scores=_scores(final, _at(evaluations, best_step)),
        charts=_charts(rows, task.metric, best_step, ceilings.get(used) if task.metric == "accuracy" else None),
        curves=_curves(task, results),
        box=charts,
        patterns=patterns,
        confusion=breakdown.confusion(task, results),
        classes=breakdown.classes(task, results),
        bins=breakdown.bins(task, results),
        exhibits=exhibits(data, task, results),
        config=_text(folder / "config.yaml").strip(),
        parameters=parameters,
        environment=_environment(folder),
    )
    path = folder / "report.html"
    path.write_bytes(html.encode("utf-8", "replace"))  # half a surrogate pair, out of a JSON table, ends no run
    return path


def render(template: str, **values: object) -> str:
    """A template of this folder, filled in; every value is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda value: f"{value:,}"
    environment.filters["score"] = lambda value: "–" if value is None else f"{value:.3f}"
    return environment.get_template(template).render(values)


def _scores(final: Row, best: Row) -> list[Score]:
    left_out = ("kind", "step", "split", "rows", "checkpoint")
    names = [name for name in final if name not in left_out and not name.endswith("_se")]

    def both(name: str) -> list[float | None]:
        return [_number(row.get(key)) for row in (final, best) for key in (name, f"{name}_se")]

    return [Score(name, *both(name)) for name in names]


def _charts(rows: Sequence[Row], metric: str, best_step: int, ceiling: float | None) -> dict[str, Chart]:
    train = [row for row in rows if row["kind"] == "train"]
    val = [row for row in rows if row["kind"] == "evaluation" and row["split"] == "val"]
    made = {
        "loss": charts.line_chart({"train": _points(train, "loss"), "val": _points(val, "loss")}, mark=best_step),
        metric: charts.line_chart({"": [], "val": _points(val, metric)}, mark=best_step, level=ceiling),
    }
    return {name: chart for name, chart in made.items() if chart is not None}


def _curves(task: Task, results: Results) -> dict[str, Chart]:
    found = task.curves(results) if isinstance(task, Curved) else {}
    made = {title: charts.line_chart({"": points}) for title, points in found.items()}
    return {title: chart for title, chart in made.items() if chart is not None}


def _points(rows: Sequence[Row], name: str) -> Points:
    found = [(_number(row["step"]), _number(row.get(name))) for row in rows]
    return [(step, value) for step, value in found if step is not None and value is not None]


def _at(evaluations: Sequence[Row], step: int) -> Row:
    """The evaluation on val at a step; empty where none was made."""
    return next((row for row in evaluations if row["split"] == "val" and row["step"] == step), {})


def _speed(rows: Sequence[Row]) -> float | None:
    speeds = [_number(row.get("samples_per_second")) for row in rows if row["kind"] == "train"]
    found = [speed for speed in speeds if speed is not None]
    return median(found) if found else None


def _environment(folder: Path) -> dict[str, str]:
    known = json.loads(_text(folder / "environment.json") or "{}")
    packages = known.pop("packages", {})
    return {name.replace("_", " "): str(value) for name, value in {**known, **packages}.items() if value != ""}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""

"""The page of a robustness test, `robustness.html` in the run's folder: one file, which needs nothing but a browser."""

from __future__ import annotations

from mmtrain import charts
from mmtrain.charts import Chart
from mmtrain.page import render
from mmtrain.robustness import drawn
from mmtrain.robustness.bench import Bench
from mmtrain.robustness.findings import Findings


def html(bench: Bench, found: Findings) -> str:
    """The page.

    Args:
        bench: What was measured on: names, pictures and sounds come from here.
        found: What was found.
    """
    folder = bench.trained.folder
    examples = [(one, drawn.parts(bench, one, row)) for row, one in found.examples.items()]
    return render(
        "robustness/page.html",
        run=f"{folder.parent.name} / {folder.name}",
        found=found,
        names=bench.names,
        charts=_charts(bench, found),
        missing=_missing(found),
        box=charts,
        colours=charts.COLOURS,
        examples=examples,
        wave=(drawn.WAVE_WIDTH, drawn.WAVE_HEIGHT),
    )


def _charts(bench: Bench, found: Findings) -> dict[str, Chart]:
    """A chart a modality: its corruptions over their levels, beside the best modality alone."""
    bar = found.subsets[found.best_single] if found.best_single else None
    made = {}
    for name in bench.names:
        curves = {
            which.removeprefix(f"{name}."): list(zip(found.levels, curve.scores, strict=True))
            for which, curve in found.curves.items()
            if which.startswith(f"{name}.")
        }
        made[name] = charts.line_chart(curves, level=bar, whole=False)
    return {name: chart for name, chart in made.items() if chart is not None}


def _missing(found: Findings) -> Chart | None:
    if found.missing is None:
        return None
    return charts.line_chart({"": list(zip(found.rates, found.missing.scores, strict=True))}, whole=False)

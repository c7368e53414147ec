"""The page of a study, `table.html`, and its plot, `plot.svg`: one file each, which need nothing but a browser."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from mmtrain import charts
from mmtrain.charts import Dot, Group
from mmtrain.page import render
from mmtrain.runfolder import write_text
from mmtrain.study import tables
from mmtrain.study.cells import words
from mmtrain.study.question import Question
from mmtrain.study.results import Table


def write(question: Question, table: Table, reasons: Mapping[str, str]) -> None:
    """Writes both into the study's folder.

    Args:
        question: The study.
        table: Its results.
        reasons: Why cells have failed, by cell.
    """
    groups = _groups(table)
    verdicts = Counter(row.comparison.verdict for row in table.rows if row.comparison is not None)
    drawing = {
        "chart": charts.dot_chart(groups),
        "box": charts,
        "colours": charts.COLOURS,
        "metric": f"{table.split} {table.metric}",
    }
    write_text(question.folder / "plot.svg", render("study/plot.svg", **drawing))
    html = render(
        "study/page.html",
        name=question.name,
        command=(question.folder / "command.txt").read_text(encoding="utf-8").strip(),
        counts={"helps": verdicts["helps"], "noise": verdicts["within noise"], "hurts": verdicts["hurts"]},
        reference=next((words(row.label) for row in table.rows if row.is_reference), None),
        reasons=reasons,
        limits=any(group.limit is not None for group in groups),
        rows=tables.cells(table),
        caption=tables.caption(table, question.settings.confidence),
        **drawing,
    )
    write_text(question.folder / "table.html", html)


def _groups(table: Table) -> list[Group]:
    """The dots of the plot: a group for each subset of modalities, a series for each choice on the other axes."""
    found: dict[str, list[Dot]] = {}
    limits: dict[str, float | None] = {}
    for row in table.rows:
        name = dict(row.label)["modalities"]
        half = row.summary.half_width or 0.0
        mean = row.summary.mean
        found.setdefault(name, []).append(Dot(words(row.label[1:]), mean, mean - half, mean + half))
        limits[name] = row.ceiling
    return [Group(name, dots, limits[name]) for name, dots in found.items()]

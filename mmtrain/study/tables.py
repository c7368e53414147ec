"""The table of a study as CSV, Markdown, LaTeX and HTML, from the same cells of text."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from mmtrain.report import duration
from mmtrain.study.results import Row, Table

Cells = list[list[str]]

_LATEX = str.maketrans({c: f"\\{c}" for c in "&%$#_{}"} | {"±": "$\\pm$", "–": "--", "−": "$-$", "\\": "/"})


def header(table: Table) -> list[str]:
    """Titles of the columns: what was varied, the verdict, which a phone shows without scrolling, scores, costs."""
    axes = [axis for axis, _ in table.rows[0].label]
    metric = f"{table.split} {table.metric}"
    compared = ["difference", "by test rows alone", "p (Holm)"]
    costs = ["parameters", "seconds", "peak MB", "ms/sample"]
    return [*axes, "verdict", metric, *compared, "sd", "possible", "val", "seeds", *costs]


def cells(table: Table) -> Cells:
    """Header and rows in words."""
    return [header(table), *(_cells(row) for row in table.rows)]


def _cells(row: Row) -> list[str]:
    summary, compared = row.summary, row.comparison
    mean = f"{summary.mean:.4f}" + (f" ± {summary.half_width:.4f}" if summary.half_width is not None else "")
    if compared is None or row.by_units is None:
        verdict, comparison = row.note or "–", ["", "", ""]
    else:
        low, high = row.by_units
        verdict = compared.verdict + (f" ({row.note})" if row.note else "")
        comparison = [
            f"{round(compared.difference, 4) + 0.0:+.4f} ± {compared.half_width:.4f}",
            f"{low:+.4f} to {high:+.4f}",
            f"{compared.p_holm:.2g}",
        ]
    parameters, memory = row.cost("parameters"), row.cost("peak_memory_bytes")
    costs = [
        "–" if parameters is None else f"{parameters:,.0f}",
        _number(row.cost("seconds"), 1),
        _number(None if memory is None else memory / 1e6, 0),
        _number(row.cost("ms_per_sample"), 2),
    ]
    scores = [_number(summary.sd, 4), _number(row.ceiling, 3), _number(row.val, 4), str(len(row.results))]
    return [*(value for _, value in row.label), verdict, mean, *comparison, *scores, *costs]


def caption(table: Table, confidence: float | None) -> list[str]:
    """What a reader must know of the numbers, a sentence an entry."""
    reference = next((row for row in table.rows if row.is_reference), None)
    said = [
        f"{table.trials} runs were trained; each read the {table.test_rows:,} rows of {table.split} once, with the "
        f"weights of its best step by val {table.metric}."
    ]
    if confidence is None:
        return [*said, "No intervals and no verdicts were asked for (confidence=null)."]
    said.append(f"{table.metric}: mean over seeds ± half the {confidence:.0%} t interval; sd: over seeds, with n - 1.")
    if reference is None:
        return [*said, "The reference has not finished: nothing is compared."]
    finest = [row.comparison.detectable for row in table.rows if row.comparison is not None]
    said.append(
        f"difference: to the reference, paired by seed and test row, better is positive, ± half its {confidence:.0%} "
        f"interval from seeds and test rows ({table.units} units) together; the next column is the bootstrap interval "
        "over test units alone. Verdicts are corrected for all comparisons of this table (Holm)."
    )
    if table.row_error is not None:
        said.append(f"The test rows alone make one run's {table.metric} uncertain by {table.row_error:.4f} (1 s.e.).")
    if finest:
        said.append(
            f"The smallest true difference that a comparison here would find 4 times in 5, taken alone: "
            f"{min(finest):.4f} to {max(finest):.4f}."
        )
    said.append(f"Best by val: {' '.join(value for _, value in table.best.label)}.")
    return said


def write(folder: Path, table: Table, confidence: float | None) -> None:
    """Writes table.csv, table.md and table.tex."""
    rows, said = cells(table), caption(table, confidence)
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(plain(table))
    (folder / "table.md").write_text(markdown(rows) + "\n" + "\n".join(f"- {line}" for line in said) + "\n", "utf-8")
    (folder / "table.tex").write_text(latex(rows, said), "utf-8")


def plain(table: Table) -> list[list[object]]:
    """For machines: full numbers, one column each."""
    axes = [axis for axis, _ in table.rows[0].label]
    scores = ["seeds", "mean", "sd", "half_width", "ceiling", "val"]
    compared = ["difference", "difference_half_width", "units_low", "units_high", "p", "p_holm", "detectable"]
    costs = ["parameters", "seconds", "peak_memory_bytes", "ms_per_sample"]
    lines: list[list[object]] = [[*axes, "note", *scores, *compared, "verdict", *costs]]
    for row in table.rows:
        made, summary = row.comparison, row.summary
        differences: list[object] = [""] * 8
        if made is not None and row.by_units is not None:
            half, (low, high) = made.half_width, row.by_units
            differences = [made.difference, half, low, high, made.p, made.p_holm, made.detectable, made.verdict]
        values = [len(row.results), summary.mean, summary.sd, summary.half_width, row.ceiling, row.val]
        spent = [row.cost(name) for name in costs]
        lines.append([*(value for _, value in row.label), row.note, *values, *differences, *spent])
    return [["" if value is None else value for value in line] for line in lines]


def markdown(rows: Cells) -> str:
    """A pipe table, aligned for reading as text too."""
    safe = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*safe, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in safe]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return "".join(f"| {line} |\n" for line in lines)


def latex(rows: Cells, said: Sequence[str]) -> str:
    """A `tabular` with booktabs rules, to be read in with `\\input`."""
    head, *body = [[cell.translate(_LATEX) for cell in row] for row in rows]
    notes = "".join(f"% {line}\n" for line in said)
    lines = "".join(" & ".join(row) + " \\\\\n" for row in body)
    columns = "l" * len(head)
    top = f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{' & '.join(head)} \\\\\n\\midrule\n"
    return f"{notes}{top}{lines}\\bottomrule\n\\end{{tabular}}\n"


def shown(table: Table) -> Cells:
    """The columns for a terminal: what was varied, the score, the difference, the verdict, the time."""
    axes = len(table.rows[0].label)
    titles = header(table)
    kept = [*range(axes), *(titles.index(name) for name in (f"{table.split} {table.metric}", "difference", "verdict"))]
    rows = [[row[number] for number in kept] for row in cells(table)]
    times = ["time", *("–" if (s := row.cost("seconds")) is None else duration(s) for row in table.rows)]
    return [[*row, time] for row, time in zip(rows, times, strict=True)]


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"

"""`mmtrain robustness RUN`: what a trained model does with missing and bad modalities, and what it makes of each."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmtrain import paths
from mmtrain.arguments import parse
from mmtrain.report import say, table
from mmtrain.robustness import page
from mmtrain.robustness.bench import Bench
from mmtrain.robustness.findings import Curve, Findings
from mmtrain.robustness.measure import measure
from mmtrain.robustness.question import OPTIONS, chosen, read
from mmtrain.runfolder import write_text
from mmtrain.trained import open_run


def run(arguments: list[str]) -> None:
    """Measures, tells and writes `robustness.json` and `robustness.html` into the run's folder.

    Raises:
        ConfigError: The command line, or a run that cannot answer it.
    """
    given = parse("robustness", arguments, positional=("run",), options=OPTIONS)
    question = read(given)
    trained = open_run(given)
    corruptions = chosen(question.corruptions, trained.kinds)
    bench = Bench(trained, question.split, question.rows)
    found = measure(bench, question, corruptions, functools.partial(_open, given, bench, question.rows))
    _tell(bench, found)
    folder = trained.folder
    write_text(folder / "robustness.json", found.to_json())
    write_text(folder / "robustness.html", page.html(bench, found))
    say(f"page: {folder / 'robustness.html'}")


def _open(given: Mapping[str, str], bench: Bench, rows: int | None, folder: str, split: str) -> Bench:
    """Another split of the run, or a split of another run with the same options."""
    if not folder:
        return Bench(bench.trained, split)
    outputs = Path(given.get("output_dir", "outputs"))
    own = {name: value for name, value in given.items() if name != "checkpoint"}  # a step of the one run only
    return Bench(open_run({**own, "run": str(paths.find_run(folder, outputs))}), split, rows)


def _tell(bench: Bench, found: Findings) -> None:
    better = "" if found.higher_is_better else " (less is better)"
    floor = "" if found.chance is None else f", chance {found.chance:.4g}"
    error = "" if found.error is None else f" ± {found.error:.2g}"
    start = f"step {found.step}, {found.rows:,} rows of {found.split}"
    say(f"{start}: {found.metric} {found.score:.4g}{error}{better}{floor}")
    seen = [
        [name, f"{score:.4g}", "<- worst" if name == found.worst_subset else ""]
        for name, score in found.subsets.items()
    ]
    say(f"{found.metric} by what the model sees\n{table(seen, indent='  ')}")
    if found.missing is not None:
        _curves("each modality missing with a probability", found.rates, {"missing": found.missing})
    if found.curves:
        _curves("one modality made worse, by level", found.levels, found.curves)
    if found.permutation:
        _contribution(bench, found)
    for note in found.notes:
        say(note)


def _curves(title: str, levels: Sequence[float], curves: Mapping[str, Curve]) -> None:
    header = ["", *(f"{level:g}" for level in levels), "retention", "worst", "break-even"]
    rows = [
        [
            name,
            *(f"{score:.3g}" for score in curve.scores),
            _number(curve.retention, ".2f"),
            f"{curve.worst:.3g}",
            _number(curve.break_even, ".2f"),
        ]
        for name, curve in curves.items()
    ]
    say(f"{title}\n{table([header, *rows], indent='  ')}")


def _contribution(bench: Bench, found: Findings) -> None:
    rows = [["", "Shapley share", "lost when shuffled", *(["trained alone", "probe", "gap"] if found.unimodal else [])]]
    for name in bench.names:
        shuffled, other = found.permutation[name], found.unimodal.get(name)
        row = [name, _number(found.shapley[name] if found.shapley else None, ".3g")]
        row.append("-" if shuffled is None else f"{shuffled.drop:.3g} ± {shuffled.deviation:.2g}")
        if found.unimodal:
            row += [_number(value, ".3f") for value in ((other.alone, other.probe, other.gap) if other else [None] * 3)]
        rows.append(row)
    nothing = "" if found.nothing is None else f"; without any input {found.nothing:.4g}"
    say(f"what each modality contributes to {found.metric} {found.score:.4g}{nothing}\n{table(rows, indent='  ')}")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)

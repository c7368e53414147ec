"""`mmtrain report RUN`: makes the page of a run anew from its folder; `mmtrain report A B`: two runs compared."""

from __future__ import annotations

from pathlib import Path

from mmtrain import comparison, page, paths
from mmtrain.arguments import parse
from mmtrain.build import build_data
from mmtrain.errors import ConfigError
from mmtrain.model import parameter_counts
from mmtrain.patterns import by_pattern
from mmtrain.report import say, table
from mmtrain.trained import open_run

OPTIONS = {
    "output": "of two runs: the page to write; compared.html in the folder of the second where it is not given",
    "device": "auto, cpu, cuda, cuda:1 or mps; the run's own where it is not given",
    "dataset.path": "of one run: the table, where it lies elsewhere now",
    "dataset.data_root": "of one run: the folder of the media files, where they lie elsewhere now",
    "output_dir": "where `last` is looked up; outputs where it is not given",
}


def run(arguments: list[str]) -> None:
    """Writes the page."""
    given = parse("report", arguments, positional=("run", "[other]"), options=OPTIONS)
    output_dir = Path(given.get("output_dir", "outputs"))
    if "other" in given:
        a, b = (paths.find_run(given[name], output_dir) for name in ("run", "other"))
        _compared(a, b, Path(given.get("output", b / "compared.html")))
    elif "output" in given:
        raise ConfigError("`output` goes with two runs; the page of one is report.html in its folder.")
    else:
        _page(given)


def _page(given: dict[str, str]) -> None:
    trained = open_run(given)
    if not trained.metrics():
        raise ConfigError(f"{trained.folder} has no scores yet; first: mmtrain resume {trained.folder}")
    source = trained.source()
    data = build_data(trained.config, source, trained.spec)
    split = "test" if "test" in source.splits else "val"
    results, _ = trained.results(source, split)
    made = page.write(
        trained.folder,
        data=data,
        task=trained.task,
        results=results,
        parameters=parameter_counts(trained.model),
        split=split,
        best_step=trained.step,
        patterns=by_pattern(trained.task, results, source, list(trained.spec.signals)),
    )
    say(f"report: {made}")


def _compared(a: Path, b: Path, path: Path) -> None:
    made = comparison.compare(a, b)
    comparison.write(path, a, b, made)
    lines = [["", "a", "b", "b - a", "95 % interval", "from"]]
    for line in made.lines:
        if line.a is None or line.b is None:
            continue
        interval = "" if line.low is None or line.high is None else f"{line.low:+.4f} to {line.high:+.4f}"
        lines.append([line.name, f"{line.a:.4f}", f"{line.b:.4f}", f"{line.b - line.a:+.4f}", interval, line.how])
    say(f"a: {a}\nb: {b}\n{table(lines)}")
    for note in made.notes:
        say(f"note: {note}")
    if made.config:
        say(table([["config", "a", "b"], *(list(row) for row in made.config)]))
    say(f"report: {path}")

"""`mmtrain evaluate RUN`: scores a split of the run's data again, one metric a line."""

from __future__ import annotations

from pathlib import Path

from mmtrain.arguments import parse
from mmtrain.evaluation import scores
from mmtrain.patterns import by_pattern, lines
from mmtrain.record import write_table
from mmtrain.report import say
from mmtrain.trained import open_run

OPTIONS = {
    "split": "train, val or test; test where it is not given",
    "checkpoint": "best (by validation; the default), last, or the number of a step that was kept",
    "output": "also write the predictions of every row into this .csv or .jsonl file",
    "device": "auto, cpu, cuda, cuda:1 or mps; the run's own where it is not given",
    "on_bad_sample": "error or skip (list it) at a cell that cannot be read; the run's own where it is not given",
    "max_bad_fraction": "with skip: the share of the split's rows that may be bad; the run's own where it is not given",
    "dataset.path": "the table, where it lies elsewhere now",
    "dataset.data_root": "the folder of the media files, where they lie elsewhere now",
    "output_dir": "where `last` is looked up; outputs where it is not given",
}


def run(arguments: list[str]) -> None:
    """Evaluates."""
    given = parse("evaluate", arguments, positional=("run",), options=OPTIONS)
    trained = open_run(given)
    source, split = trained.source(), given.get("split", "test")
    results, columns = trained.results(source, split)
    say(f"step {trained.step}, {len(results.ids):,} rows")
    for name, value in {**scores(trained.task, results), "loss": results.loss}.items():
        say(f"{name} {value:.4g}")
    found = by_pattern(trained.task, results, source, list(trained.spec.signals))
    for line in lines(found, trained.task.metric, split):
        say(line)
    if "output" in given:
        write_table(Path(given["output"]), columns)
        say(f"predictions: {given['output']}")

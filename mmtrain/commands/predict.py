"""`mmtrain predict RUN input=TABLE`: what the model says of new rows."""

from __future__ import annotations

from pathlib import Path

from mmtrain.arguments import parse
from mmtrain.build import build_data
from mmtrain.data.tables.table import TableSource
from mmtrain.drawing import require_video_writer, write_boxes
from mmtrain.errors import ConfigError
from mmtrain.offers import Asking, Joining, Locating
from mmtrain.protocols import Task
from mmtrain.record import write_table
from mmtrain.report import say
from mmtrain.trained import TrainedRun, open_run

OPTIONS = {
    "input": "a table of any form that dataset.path takes; a column of a modality that is left out counts as missing",
    "output": "a .csv or .jsonl file; predictions/<name of the input>.csv in the run where it is not given",
    "encoding": "that of the input, such as gb18030; UTF-8 where it is not given",
    "data_root": "the folder that media paths are relative to; the folder of the table where it is not given",
    "pictures": "of a run that finds boxes: how many rows are drawn with theirs; 20 where it is not given",
    "classes": "of task.classes_from=names: what to look for in place of the run's classes, such as 'red car,dog'",
    "checkpoint": "best (by validation; the default), last, or the number of a step that was kept",
    "device": "auto, cpu, cuda, cuda:1 or mps; the run's own where it is not given",
    "on_bad_sample": "error or skip (list it) at a cell that cannot be read; the run's own where it is not given",
    "output_dir": "where `last` is looked up; outputs where it is not given",
}


def run(arguments: list[str]) -> None:
    """Predicts."""
    given = parse("predict", arguments, positional=("run",), options=OPTIONS)
    if "input" not in given:
        raise ConfigError("predict needs a table: mmtrain predict RUN input=new.csv")
    pictures = given.get("pictures", "20")
    if not pictures.isdecimal():
        raise ConfigError(f"`pictures={pictures}`: expected a number of rows, at least 0.")
    table = Path(given["input"])
    trained = open_run(given)
    targets = trained.task.targets
    if "classes" in given:
        _ask(trained, given["classes"])
        targets = ()  # what may stand in the table is of the run's own classes
    located = _located(trained.task)
    frames = {name: trained.spec.signals[task.anchor].length for name, task in located.items()}
    if int(pictures) and any(length > 1 for length in frames.values()):
        require_video_writer()
    source = TableSource.for_prediction(
        str(table),
        kinds=trained.kinds,
        columns=trained.columns,
        data_root=given.get("data_root"),
        targets=targets,
        encoding=given.get("encoding", "utf-8"),
    )
    for note in source.notes:
        say(f"note: {note}")
    for name in trained.kinds:
        if name not in source.kinds:
            say(f"note: {table} has no column `{name}`: counted as missing in every row")
    results, columns = trained.results(source, "predict")
    output = Path(given.get("output", trained.folder / "predictions" / f"{table.stem}.csv"))
    write_table(output, columns)
    say(f"{len(columns['id']):,} rows: {output}")
    for name, task in located.items():
        data = build_data(trained.config, source, trained.spec)
        folder = output.with_name(f"{output.stem}_{name}_boxes" if name else f"{output.stem}_boxes")
        own = trained.task.of(name, results) if isinstance(trained.task, Joining) else results
        write_boxes(folder, data, task, own, pictures=int(pictures))
        drawn = f"videos of the {frames[name]} frames that the model reads" if frames[name] > 1 else "pictures"
        say(f"coco.json{f', and {drawn} with their boxes' if int(pictures) else ''}: {folder}")


def _located(task: Task) -> dict[str, Locating]:
    """The tasks that find boxes: this one by the name '', or those inside it by theirs."""
    inside = task.tasks if isinstance(task, Joining) else {"": task}
    return {name: one for name, one in inside.items() if isinstance(one, Locating)}


def _ask(trained: TrainedRun, classes: str) -> None:
    """Lets the run look for other classes.

    Raises:
        ConfigError: They are no list of names, or the run cannot look for them.
    """
    names = [name.strip() for name in classes.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise ConfigError(f"`classes={classes}`: expected distinct names, separated by commas.")
    if not isinstance(trained.task, Asking):
        raise ConfigError(f"`classes={classes}`: the task of {trained.folder} has no classes to look for by name.")
    try:
        trained.task.ask(trained.model.head, names)
    except ValueError as error:
        raise ConfigError(f"`classes={classes}`: {error}.") from None

"""`mmtrain init TABLE target=COLUMN out=DIR/dataset/NAME.yaml`: looks at a table and writes a config to train on it."""

from __future__ import annotations

import re
from pathlib import Path

from mmtrain import compose
from mmtrain.arguments import CONFIG_DIR, parse
from mmtrain.data.proposals.proposal import Proposal, propose
from mmtrain.data.proposals.table_config import table_config
from mmtrain.data.tables import manifest
from mmtrain.errors import ConfigError, DataError, DiskError
from mmtrain.report import say

OPTIONS = {
    "target": "the column to learn; `label` where it is not given and there is one",
    "encoding": "that of the table, such as gb18030; UTF-8 where it is not given",
    "out": "the file to write, DIR/dataset/NAME.yaml; nothing is written where it is not given",
    "data_root": "the folder that media paths are relative to; the folder of the table where it is not given",
}


def run(arguments: list[str]) -> None:
    """Says what each column of a table seems to be and why, and writes a config that one can change.

    Raises:
        ConfigError: The file exists, is in no place where it can be chosen from, or the target is not said.
        DataError: The table cannot be read, or there is nothing to learn in it.
        DiskError: The file cannot be written.
    """
    given = parse("init", arguments, positional=("table",), options=OPTIONS)
    out = Path(given["out"]) if "out" in given else None
    if out is not None:
        _refuse(out)
    table = manifest.read(Path(given["table"]), given.get("encoding", "utf-8"))
    root = Path(given.get("data_root", table.folder))
    if not root.is_dir():
        raise DataError(f"no folder {root}; check `data_root`.")
    found = propose(table, given.get("target"), root)
    _say(found)
    config_dir = Path(given[CONFIG_DIR]) if CONFIG_DIR in given else None
    task = next((name for name in found.kind.tasks if name in compose.group_options("task", config_dir)), None)
    _say_task(found, task)
    if out is None:
        say("nothing written; out=DIR/dataset/NAME.yaml writes a config, to train with --config-dir DIR dataset=NAME")
        return
    line = f"--config-dir {out.parent.parent} dataset={out.stem}"
    text = table_config(
        found,
        path=given["table"],
        read={name: given[name] for name in ("encoding", "data_root") if name in given},
        task=task,
        command=f"mmtrain {line}",
    )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise DiskError(f"cannot write {out}: {error.strerror}.") from None
    say(f"written: {out}\nnext: mmtrain check {line}\nthen: mmtrain {line}")


def _refuse(out: Path) -> None:
    """Refuses a file that exists, and one that could not be chosen as `dataset=NAME`."""
    if out.exists():
        raise ConfigError(f"`out` (={out}) exists, and init never writes over a file; choose another name.")
    if out.suffix != ".yaml" or out.parent.name != "dataset" or not re.fullmatch(r"\w[\w-]*", out.stem):
        name = re.sub(r"[^\w-]+", "_", out.stem).strip("_") or "mine"
        folder = out.parent if out.parent.name == "dataset" else out.parent / "dataset"
        raise ConfigError(f"`out` (={out}) is no option of the group `dataset`; try out={folder / name}.yaml.")
    if out.stem in compose.group_options("dataset"):
        raise ConfigError(f"`out` (={out}): dataset={out.stem} is one of mmtrain's own; choose another name.")


def _say(found: Proposal) -> None:
    said = {name: found.said(column) for name, column in found.columns.items()}
    wide, wider = max(map(len, said)), max(map(len, said.values()))
    say(f"{found.table.name}: {len(found.table):,} rows, {len(said)} columns")
    for name, column in found.columns.items():
        say(f"  {name.ljust(wide)}  {said[name].ljust(wider)}  {found.evidence(column)}")
    if found.blank:
        say(f"{found.blank:,} rows have no `{found.target.name}`: left out by `on_blank_target: drop`")
    for name, meaning in found.split_names().items():
        say(f"no row is called train, so '{name}' is taken for it: `split_names: {{{name}: {meaning}}}`")
    if found.leaks:
        say(f"suspected leaks are left out; to use one, take the # away before its name: {', '.join(found.leaks)}")
    for kind, settings in found.readers.items():
        for name, setting in settings.items():
            say(f"`reader.{kind}.{name}: {setting.value:g}`: {setting.evidence}")
    if found.tabular and not found.tabular_used:
        say(f"not used unless you say so, as `tabular`: {', '.join(column.name for column in found.tabular)}")


def _say_task(found: Proposal, task: str | None) -> None:
    tasks = found.kind.tasks
    if task is None:
        say(f"a target of kind {found.kind.kind} needs task={' or task='.join(tasks)}, not there yet: choose a task")
    elif len(tasks) > 1:
        say(f"task: {task}; another for a target of kind {found.kind.kind}: task={', task='.join(set(tasks) - {task})}")
    else:
        say(f"task: {task}")

"""`mmtrain resume RUN`: goes on from the newest good checkpoint, to the same end as a run that was never stopped."""

from __future__ import annotations

from pathlib import Path

from mmtrain import paths, training
from mmtrain.arguments import parse
from mmtrain.trained import RESUMABLE, changes_of, read_config, require_open_end, require_trusted_paths

OPTIONS = {
    **RESUMABLE,
    "output_dir": "where `last` is looked up; outputs where it is not given",
}


def run(arguments: list[str]) -> None:
    """Resumes."""
    given = parse("resume", arguments, positional=("run",), options=OPTIONS)
    folder = paths.find_run(given["run"], Path(given.get("output_dir", "outputs")))
    changes = changes_of(given)
    config = read_config(folder, Path(given["config-dir"]) if "config-dir" in given else None, changes)
    require_trusted_paths(folder, config, changes)
    require_open_end(config, changes)
    training.resume(folder, config)

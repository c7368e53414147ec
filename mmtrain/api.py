"""What `import mmtrain` offers: `train` and `load`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmtrain import check, compose, paths, training
from mmtrain.errors import ConfigError
from mmtrain.trained import TrainedRun


def train(overrides: Sequence[str] = (), *, config_dir: Path | str | None = None) -> TrainedRun:
    """Trains as `mmtrain <overrides>` does, and returns the run with its best weights.

    Args:
        overrides: What one would write on the command line: `["fusion=attention", "trainer.epochs=3"]`.
        config_dir: A folder of own YAML files.

    Raises:
        MmtrainError: As told in `mmtrain.errors`; a ConfigError lists all faults.
    """
    folder = None if config_dir is None else Path(config_dir)
    faults = check.faults(list(overrides), folder)
    if faults:
        raise ConfigError("\n".join(faults))
    return load(training.start(compose.compose(overrides, folder), overrides), config_dir=folder)


def load(folder: Path | str, *, config_dir: Path | str | None = None, checkpoint: str = "best") -> TrainedRun:
    """Opens a run folder.

    Args:
        folder: The run, or `last`.
        config_dir: The folder of own YAML files that the run was made with, if it was.
        checkpoint: `best`, `last`, or the number of a step.
    """
    run = paths.find_run(str(folder), Path("outputs"))
    return TrainedRun(run, config_dir=None if config_dir is None else Path(config_dir), which=checkpoint)

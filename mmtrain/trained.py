"""A run seen from its folder: its config, its weights, what it scores and what it predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import yaml

from mmtrain import paths
from mmtrain.build import build_data, build_model, build_schedule, build_source, build_task
from mmtrain.components import Config, node, settings_of
from mmtrain.compose import load_run_config, without_initial_weights
from mmtrain.contracts import Results
from mmtrain.data.fitting import PREDICT, refuse_many
from mmtrain.data.spec_file import load_spec
from mmtrain.data.tables.manifest import GivenRow
from mmtrain.data.tables.table import TableSource
from mmtrain.device import choose
from mmtrain.errors import ConfigError
from mmtrain.evaluation import evaluate, prediction_columns, scores
from mmtrain.model import MultimodalModel
from mmtrain.protocols import DataSource
from mmtrain.record import read_rows
from mmtrain.report import say
from mmtrain.runfolder import other_version
from mmtrain.state import load_weights, restore_calibration, weights_of
from mmtrain.transfer import chosen
from mmtrain.validate import validate

DATA_PATHS = ("path", "data_root")
"""Arguments of `dataset` that name a file or folder outside the run."""

RESUMABLE = {
    "trainer.epochs": "train longer; under schedule=constant only, since others are drawn up for a length",
    "trainer.max_steps": "stop after so many steps; likewise",
    "trainer.num_workers": "processes that read data",
    "trainer.evaluate_every": "how often to evaluate",
    "trainer.evaluate_unit": "epoch or step",
    "trainer.save_every_steps": "how often to save besides",
    "trainer.keep_last": "newest checkpoints kept",
    "trainer.patience": "evaluations without gain before it stops",
    "trainer.tensorboard": "whether to write TensorBoard files",
    "device": "auto, cpu, cuda, cuda:1 or mps; another one gives the same samples but not the same bits",
    "num_threads": "threads of the CPU; likewise",
    "on_bad_sample": "error or skip: what to do at a cell that cannot be read",
    "max_bad_fraction": "with skip: the share of a split's rows that may be bad, 0 to 1",
    "cache_dir": "where decoded media are kept: auto, a folder, or null",
    "dataset.path": "the table, where it lies elsewhere now",
    "dataset.data_root": "the folder of the media files, where they lie elsewhere now",
}
"""What a resume may change: where, how long and how often, not what is computed."""


class TrainedRun:
    """A trained model with its data description; what `mmtrain.load` returns.

    Args:
        folder: The run's folder; it may come from a stranger.
        config_dir: The user's own YAML files, where the run used some.
        which: `best` (by validation), `last`, or the number of a step that was kept.
        changes: Config keys to replace: the device, or the data path of a run that was moved.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        config_dir: Path | None = None,
        which: str = "best",
        changes: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = Path(folder)
        config = read_config(self.folder, config_dir, changes or {})
        self.config: Config = {**config, "cache_dir": None}  # each row is read once, so nothing is kept of it
        self.settings = settings_of(self.config)
        self._changes = dict(changes or {})
        self.compute = choose(
            self.settings.device,
            self.settings.precision,
            num_threads=self.settings.num_threads,
            determinism=self.settings.determinism,
        )
        self.spec = load_spec(self.folder)
        self.kinds = {name: signal.kind for name, signal in self.spec.signals.items()}
        self.columns = cast(dict[str, list[str]], node(self.config, "dataset").get("columns") or {})
        built = without_initial_weights(self.config)
        self.task = build_task(built, self.spec)
        self.model: MultimodalModel = build_model(built, settings_of(built), self.spec, self.task)
        self.step = self._load(which)
        self.model.to(self.compute.device).eval()

    def metrics(self) -> dict[str, float]:
        """The final scores of the run: those on its test split, or on `val` where it has none."""
        rows = [row for row in read_rows(self.folder) if row["kind"] == "evaluation"]
        if not rows:
            raise ConfigError(f"{self.folder} has no evaluation yet; go on with: mmtrain resume {self.folder}")
        skipped = ("kind", "step", "split")
        return {name: value for name, value in rows[-1].items() if name not in skipped and isinstance(value, float)}

    def source(self) -> DataSource:
        """The rows the run was made with.

        Raises:
            ConfigError: The folder is not one that this user has made, and names a path outside the working folder.
        """
        require_trusted_paths(self.folder, self.config, self._changes)
        return build_source(self.config)

    def evaluate(self, split: str = "test") -> dict[str, float]:
        """Scores a split of the run's own data."""
        return scores(self.task, self.results(self.source(), split)[0])

    def results(self, source: DataSource, split: str) -> tuple[Results, dict[str, Sequence[object]]]:
        """The outputs for the rows of a split, and the columns of a predictions file."""
        if split not in source.splits:
            raise ConfigError(f"`split={split}`: the data has {', '.join(source.splits)}.")
        data = build_data(self.config, source, self.spec)
        results = evaluate(
            self.model,
            data,
            self.task,
            source.splits[split],
            compute=self.compute,
            batch_size=4 * self.settings.trainer.batch_size,
            num_workers=self.settings.trainer.num_workers,
        )
        for name, reason in results.skipped:
            say(f"skipped {name}: {reason}")
        if split != PREDICT:
            rows = len(source.splits[split])
            refuse_many(dict(results.skipped), rows, split, self.settings.max_bad_fraction)
        return results, dict(prediction_columns(data, self.task, results))

    def predict(self, rows: Sequence[GivenRow], *, data_root: Path | str = ".") -> dict[str, Sequence[object]]:
        """Predicts rows given as mappings from column to cell; a column left out is a missing modality.

        Args:
            rows: Texts, and paths of media files relative to `data_root`.
            data_root: Where the media files are.

        Returns:
            Columns: `id`, `prediction`, and what the task adds, the same as `mmtrain predict` writes.
        """
        return self.results(prediction_source(self, rows=rows, data_root=Path(data_root)), PREDICT)[1]

    def _load(self, which: str) -> int:
        saved, faults = chosen(self.folder / "checkpoints", which)
        for fault in faults:
            say(f"passed over: {fault}")
        load_weights(self.model, weights_of(saved.tensors))
        restore_calibration(self.task, saved.values)
        return saved.step


def read_config(folder: Path, config_dir: Path | None, changes: Mapping[str, str]) -> Config:
    """The config of a run with some keys replaced, trusted and checked.

    Raises:
        ConfigError: Every fault in it, or a key that the run does not have; and the version that the run was made with,
            where it is another one.
    """
    try:
        config = load_run_config(folder, config_dir)
    except ConfigError as error:
        raise ConfigError(f"{error}{other_version(folder)}") from None
    for key, text in changes.items():
        *parents, name = key.split(".")
        where = config
        for parent in parents:
            where = node(where, parent)
        if name not in where:
            raise ConfigError(f"`{key}`: the run in {folder} has no such key.")
        where[name] = yaml.safe_load(text)
    if faults := validate(config, config_dir):
        path = folder / "config.yaml"
        told = [str(fault) if fault.key in changes else f"{path}: {fault}" for fault in faults]
        raise ConfigError("\n".join(told) + other_version(folder))
    return config


def open_run(given: Mapping[str, str]) -> TrainedRun:
    """The run that the arguments of a verb name."""
    return TrainedRun(
        paths.find_run(given["run"], Path(given.get("output_dir", "outputs"))),
        config_dir=Path(given["config-dir"]) if "config-dir" in given else None,
        which=given.get("checkpoint", "best"),
        changes=changes_of(given),
    )


def changes_of(given: Mapping[str, str]) -> dict[str, str]:
    """The config keys among the options of a verb."""
    return {name: value for name, value in given.items() if name in RESUMABLE}


def require_open_end(config: Config, changes: Mapping[str, str]) -> None:
    """Refuses another length where the learning rate has been drawn up for the first one.

    Raises:
        ConfigError: The schedule is not an open-ended one.
    """
    longer = [name for name in ("trainer.epochs", "trainer.max_steps") if name in changes]
    if longer and not build_schedule(config, 1).open_ended:
        raise ConfigError(
            f"`{longer[0]}={changes[longer[0]]}`: the learning rate of this run was drawn up for its first length; "
            "only a run with schedule=constant can be made longer."
        )


def require_trusted_paths(folder: Path, config: Config, changes: Mapping[str, str]) -> None:
    """Lets a run open its data only where the user made the run, works in that folder, or repeats the path.

    Raises:
        ConfigError: Naming the path and the option to repeat.
    """
    here = Path.cwd().resolve()
    dataset = node(config, "dataset")
    named = {f"dataset.{name}": dataset.get(name) for name in DATA_PATHS}
    if config.get("cache_dir") != "auto":
        named["cache_dir"] = config.get("cache_dir")
    for key, value in named.items():
        if not isinstance(value, str) or key in changes or paths.is_own(folder):
            continue
        if not Path(value).resolve().is_relative_to(here):
            raise ConfigError(
                f"{folder} was not made here and uses `{key}={value}`, outside the working folder; repeat "
                f"{key}={value} on the command line if you want that."
            )


def prediction_source(run: TrainedRun, rows: Sequence[GivenRow], data_root: Path) -> DataSource:
    """Rows given in Python as a source with the one split `predict`."""
    return TableSource.for_prediction(
        rows, kinds=run.kinds, columns=run.columns, data_root=str(data_root), targets=run.task.targets
    )

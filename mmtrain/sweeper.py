"""A sweep that learns from its trials: Optuna behind Hydra's `-m`, so that every launcher and every override works.

    mmtrain -m hydra/sweeper=mmtrain_optuna 'optimizer.lr=tag(log, interval(1e-4, 1e-2))' fusion=concat,sum

Trials lie in an SQLite file beside the runs. What a trial tries follows from the sweep's seed and from the trials that
have ended, never from the state of a generator: a sweep that was killed, started again, tries what it would have tried.
Sampling is Optuna's TPE (Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization", NeurIPS 24), pruning its
median rule (Golovin et al. 2017, "Google Vizier", KDD).
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, QuotedString, RangeSweep
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper

from mmtrain import compose
from mmtrain.errors import ConfigError
from mmtrain.report import say
from mmtrain.runlock import locked
from mmtrain.seeding import key
from mmtrain.trials import TRIAL, UNTOLD, ended, job_of, library, score

if TYPE_CHECKING:
    import optuna
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig
    from optuna.distributions import BaseDistribution

NAME = "mmtrain_optuna"
STORAGE = "sweep.db"
_MODULE = f"hydra_plugins.{NAME}"  # Hydra takes plugins from this package only, and looks them up by their name


@dataclass
class SweeperSettings:
    """`hydra.sweeper.*`; docs/sweeps.md says what each means to a user."""

    _target_: str = f"{_MODULE}.OptunaSweeper"
    n_trials: int = 20
    n_jobs: int = 1
    seed: int = 0
    startup_trials: int = 10
    prune: bool = True
    prune_after: int = 5


class OptunaSweeper(Sweeper):
    """Hydra's plugin.

    Args:
        n_trials: Trials of the whole sweep, those before an interruption included.
        n_jobs: Trials that are launched together, for launchers that run several at once.
        seed: Decides what is tried.
        startup_trials: Trials at random before TPE begins.
        prune: Whether a trial ends early whose validation score is below the median of the earlier ones at that step.
        prune_after: Trials that end before the first may be pruned.
    """

    __module__ = _MODULE

    def __init__(
        self, n_trials: int, n_jobs: int, seed: int, startup_trials: int, prune: bool, prune_after: int
    ) -> None:
        for name, value in (("n_trials", n_trials), ("n_jobs", n_jobs)):
            if value < 1:
                raise ConfigError(f"`hydra.sweeper.{name}` (={value}) must be at least 1.")
        self.n_trials, self.n_jobs, self.seed = n_trials, n_jobs, seed
        self.startup_trials, self.prune, self.prune_after = startup_trials, prune, prune_after

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `sweep`."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        _forget()

    def sweep(self, arguments: list[str]) -> None:
        """Runs what is left of the trials, then writes the best one as an experiment.

        Raises:
            ConfigError: Nothing varies, or the file of trials is that of another sweep.
        """
        optuna = library()
        assert self.hydra_context is not None, "Hydra has called `setup` before"
        assert self.config is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides(arguments)
        varied = {o.get_key_element(): o for o in overrides if o.is_sweep_override()}
        space = {name: _distribution(override) for name, override in varied.items()}
        others = [override for override in overrides if not override.is_sweep_override()]
        fixed = [f"{override.get_key_element()}={override.get_value_element_as_str()}" for override in others]
        if not space:
            raise ConfigError("nothing varies; give some keys several values: optimizer.lr=interval(1e-4,1e-2)")
        folder = Path(str(self.config.hydra.sweep.dir))
        folder.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{(folder / STORAGE).resolve()}"
        with locked(folder):
            study = optuna.create_study(study_name=folder.name, storage=url, direction="maximize", load_if_exists=True)
            self._require_same(study, space, fixed, folder / STORAGE)
            for trial in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
                study.set_user_attr(f"{UNTOLD} {trial.number}", True)
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            if done := len(ended(study)):
                say(f"{done} of {self.n_trials} trials have ended before; going on from {folder / STORAGE}")
            while (number := len(ended(study))) < self.n_trials:
                if not self._batch(study, url, space, fixed, number):
                    say(f"stopped; the same command goes on from {folder / STORAGE}")
                    return
            self._conclude(study, folder)

    def _batch(
        self, study: optuna.Study, url: str, space: dict[str, BaseDistribution], fixed: list[str], number: int
    ) -> bool:
        """Launches the next trials and takes their results; False where they were stopped from outside."""
        optuna = library()
        trials = []
        for place in range(min(self.n_jobs, self.n_trials - number)):
            study.sampler = optuna.samplers.TPESampler(
                n_startup_trials=self.startup_trials, seed=key(self.seed, number + place, "trial") % 2**32
            )
            trials.append(study.ask(space))
        lines = []
        for trial in trials:
            watched = {"url": url, "study": study.study_name, "trial": trial._trial_id, "after": self.prune_after}
            told = [f"++hydra.job.env_set.{TRIAL}={json.dumps(json.dumps(watched))}"] if self.prune else []
            lines.append([*fixed, *(f"{name}={_written(value)}" for name, value in trial.params.items()), *told])
        assert self.launcher is not None
        results = self.launcher.launch(lines, initial_job_idx=number)
        jobs = [job_of(result) for result in results]
        if any(job.code in (-1, 130, 143) for job in jobs):
            return False
        for trial, job in zip(trials, jobs, strict=True):
            found = None if job.code or job.pruned else score(Path(job.folder))
            if job.pruned:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            elif found is None:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                trial.set_user_attr("folder", job.folder)
                trial.set_user_attr("metric", found.metric)
                trial.set_user_attr("value", found.value)
                study.tell(trial, found.goodness)
        return True

    def _require_same(
        self, study: optuna.Study, space: dict[str, BaseDistribution], fixed: list[str], path: Path
    ) -> None:
        """Notes what a new sweep is about; refuses to mix another one's trials into it."""
        optuna = library()
        settings = {"seed": self.seed, "n_jobs": self.n_jobs, "startup_trials": self.startup_trials}
        settings |= {"prune": self.prune, "prune_after": self.prune_after}
        now = {
            "space": {name: optuna.distributions.distribution_to_json(value) for name, value in space.items()},
            "fixed": sorted(fixed),
            "settings": settings,
        }
        for name, value in now.items():
            if study.user_attrs.setdefault(name, value) != value:
                raise ConfigError(
                    f"{path} holds the trials of another sweep: its {name} is {study.user_attrs[name]}, here {value}. "
                    "Repeat that, or begin another sweep with name=."
                )
        for name, value in now.items():
            study.set_user_attr(name, value)

    def _conclude(self, study: optuna.Study, folder: Path) -> None:
        """Says which trial was best, and writes it as an experiment file."""
        optuna = library()
        states = [trial.state for trial in ended(study)]
        pruned, failed = (states.count(s) for s in (optuna.trial.TrialState.PRUNED, optuna.trial.TrialState.FAIL))
        told = f"{len(states)} trials, {pruned} pruned, {failed} failed"
        if pruned + failed == len(states):
            say(f"{told}: none has a score")
            return
        best, attributes = study.best_trial, study.best_trial.user_attrs
        values = {name: _written(value) for name, value in best.params.items()}
        line = [*study.user_attrs["fixed"], *(f"{name}={value}" for name, value in values.items())]
        file = folder / "experiment" / f"{folder.name}_best.yaml"
        file.parent.mkdir(exist_ok=True)
        told_of = f"val {attributes['metric']} {attributes['value']:.4g} in {attributes['folder']}"
        file.write_text(_experiment(line, told_of), encoding="utf-8")
        say(f"{told}; best: val {attributes['metric']} {attributes['value']:.4g}, {attributes['folder']}")
        say("  " + " ".join(f"{name}={value}" for name, value in values.items()))
        say(f"written: {file}; use it: mmtrain --config-dir {folder} experiment={file.stem}")


def register() -> None:
    """Makes `hydra/sweeper=mmtrain_optuna` known to Hydra; harmless when repeated."""
    ConfigStore.instance().store(group="hydra/sweeper", name=NAME, node=SweeperSettings, provider="mmtrain")
    Plugins.instance().register(OptunaSweeper)
    package = sys.modules.setdefault("hydra_plugins", ModuleType("hydra_plugins"))  # there, if any plugin is installed
    package.__dict__.setdefault("__path__", [])
    sys.modules[_MODULE] = sys.modules[__name__]


def _forget() -> None:
    """Takes the plugin out of what launchers send to their processes: none of those could import it by its name."""
    plugins = Plugins.instance()
    plugins.class_name_to_class.pop(f"{_MODULE}.OptunaSweeper", None)
    plugins.plugin_type_to_subclass_list[Sweeper] = [
        kind for kind in plugins.plugin_type_to_subclass_list[Sweeper] if kind is not OptunaSweeper
    ]


def _distribution(override: Override) -> Any:
    """The values of a key as Optuna knows them; one of its distributions."""
    distributions = library().distributions
    name, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep):
        whole = {type(value.start), type(value.end)} == {int}
        kind = distributions.IntDistribution if whole else distributions.FloatDistribution
        try:
            return kind(value.start, value.end, log="log" in value.tags)
        except ValueError as error:
            raise ConfigError(f"`{name}`: {str(error).rstrip('.')}.") from None
    if isinstance(value, RangeSweep) and not value.shuffle:
        start, stop, step = value.start, value.stop, value.step
        if isinstance(start, int) and isinstance(stop, int) and isinstance(step, int) and 0 < step < stop - start:
            return distributions.IntDistribution(start, range(start, stop, step)[-1], step=step)
    return distributions.CategoricalDistribution(list(override.sweep_string_iterator()))


def _written(value: object) -> str:
    """A value as one types it; a choice is kept as it was typed."""
    return value if isinstance(value, str) else repr(value)


def _experiment(line: list[str], told: str) -> str:
    """Overrides as the text of an experiment file."""
    import yaml
    from omegaconf import OmegaConf

    options, values = [], OmegaConf.create()
    for override in OverridesParser.create().parse_overrides(line):
        group = override.get_key_element().lstrip("+")
        if override.key_or_group in compose.groups():
            prefix = "" if override.is_add() else "override "
            options.append({f"{prefix}/{group}": override.value()})
        elif group not in ("name", "output_dir"):
            value = override.value()
            OmegaConf.update(values, group, value.text if isinstance(value, QuotedString) else value)
    typed = OmegaConf.to_container(values)
    assert isinstance(typed, dict)
    content = {**({"defaults": options} if options else {}), **typed}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return f"# @package _global_\n# The best trial of a sweep: {told}.\n{text}"

"""`mmtrain check`: whether a training command line can be run, with every fault of it at once."""

from __future__ import annotations

from pathlib import Path

from mmtrain import arguments, check, compose
from mmtrain.build import build, settings_of
from mmtrain.device import choose
from mmtrain.errors import ConfigError
from mmtrain.report import say
from mmtrain.training import without_initial_weights


def run(words: list[str]) -> None:
    """Takes what one would give to train: `mmtrain check fusion=sum --config-dir mine`.

    Where the config has no fault, its data and model are made as training makes them, but for weights that are loaded;
    of a sweep only the config is looked at.

    Raises:
        ConfigError: The faults, one a line.
        DataError: The table, or a row of it, cannot be used.
    """
    sweep = any(word in ("-m", "--multirun") for word in words)
    flags, overrides = arguments.split([word for word in words if word not in ("-m", "--multirun")])
    found = arguments.parse("check", flags, positional=["[key=value ...]"], options={})
    config_dir = Path(found[arguments.CONFIG_DIR]) if found else None
    if faults := check.faults(overrides, config_dir, multirun=sweep):
        raise ConfigError("\n".join(faults))
    chosen: dict[str, str] = {}
    if not sweep:
        node = compose.composed(compose.rewrite(overrides, config_dir), config_dir)
        config, chosen = compose.plain(node), compose.chosen(node)
        settings = settings_of(config)
        choose(settings.device, settings.precision, num_threads=1, determinism="off")
        build(without_initial_weights(config))
    parts = [f"{group}={option}" for group, option in reversed(chosen.items()) if not group.startswith("hydra/")]
    say("ok" + "".join(f"\n  {part}" for part in parts))

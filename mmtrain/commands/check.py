"""`mmtrain check`: whether a training command line can be run, with every fault of it at once."""

from __future__ import annotations

from pathlib import Path

from mmtrain import arguments, check, compose
from mmtrain.errors import ConfigError
from mmtrain.report import say


def run(words: list[str]) -> None:
    """Takes what one would give to train: `mmtrain check fusion=sum --config-dir mine`.

    Raises:
        ConfigError: The faults, one a line.
    """
    sweep = any(word in ("-m", "--multirun") for word in words)
    flags, overrides = arguments.split([word for word in words if word not in ("-m", "--multirun")])
    found = arguments.parse("check", flags, positional=["[key=value ...]"], options={})
    config_dir = Path(found[arguments.CONFIG_DIR]) if found else None
    if faults := check.faults(overrides, config_dir, multirun=sweep):
        raise ConfigError("\n".join(faults))
    chosen = compose.choices(compose.rewrite(overrides, config_dir), config_dir) if not sweep else {}
    parts = [f"{group}={option}" for group, option in reversed(chosen.items()) if not group.startswith("hydra/")]
    say("ok" + "".join(f"\n  {part}" for part in parts))

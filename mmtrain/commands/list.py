"""`mmtrain list`: the options that can be chosen, and what the config may set for each, read from the code."""

from __future__ import annotations

from pathlib import Path

import yaml

from mmtrain import arguments, compose
from mmtrain.errors import ConfigError
from mmtrain.report import say
from mmtrain.settings import TechniqueSettings, TrainerSettings, TuningSettings
from mmtrain.signatures import REQUIRED, Argument, described, locate
from mmtrain.signatures import arguments as accepted
from mmtrain.suggest import did_you_mean


def run(words: list[str]) -> None:
    """Prints all groups with their options; for `list fusion` or `list encoder/image` also the options' arguments.

    Raises:
        ConfigError: There is no such group.
    """
    found = arguments.parse("list", words, positional=["[group]"], options={})
    config_dir = Path(found[arguments.CONFIG_DIR]) if arguments.CONFIG_DIR in found else None
    wanted = found.get("group", "").strip("/")
    groups = compose.groups(config_dir)
    shown = [group for group in groups if group == wanted or group.startswith(f"{wanted}/") or not wanted]
    if not shown:
        raise ConfigError(f"`{wanted}`: no such group.{did_you_mean(wanted, groups) or ' ' + ', '.join(groups)}")
    for group in shown:
        names = compose.group_options(group, config_dir)
        width = max(map(len, names), default=0)
        say(f"{group}" if names else f"{group}  (no option yet)")
        for name in names:
            file = compose.option_file(group, name, config_dir)
            say(f"  {name.ljust(width)}  {_header(file)}".rstrip() if file else "")
            if wanted and file:
                _say_facts(group, file)
                _say_arguments(file)


def _header(file: Path) -> str:
    """The first comment of a YAML file that is no instruction to Hydra: its description."""
    for line in file.read_text(encoding="utf-8").splitlines():
        text = line.removeprefix("#").strip()
        if not line.startswith("#"):
            break
        if text and not text.startswith("@"):
            return text
    return ""


def _say_facts(group: str, file: Path) -> None:
    """What only building it tells."""
    node = yaml.safe_load(file.read_text(encoding="utf-8"))
    if group == "fusion" and isinstance(node, dict) and "_target_" in node:
        from mmtrain.strategies import facts  # torch takes seconds to import

        say(f"      {facts(node)}")


def _say_arguments(file: Path) -> None:
    node = yaml.safe_load(file.read_text(encoding="utf-8"))
    if isinstance(node, dict) and "_target_" not in node and isinstance(node.get(file.parent.name), dict):
        node = node[file.parent.name]  # an option that also sets other parts, as dataset=builtin does
    if not isinstance(node, dict):
        return
    if "_target_" in node:
        try:
            known = accepted(locate(str(node["_target_"])))
        except ValueError as error:
            say(f"      {error}")
            return
    else:
        named = {"trainer": TrainerSettings, "technique": TechniqueSettings, "tuning": TuningSettings}
        typed = named.get(file.parent.name)
        known = accepted(typed) if typed else None
    width = max(map(len, known or ()), default=0)
    for name, argument in (known or {}).items():
        say(f"      {name.ljust(width)}  {described(argument.hint)}{_default(name, node, argument)}")


def _default(name: str, node: dict[str, object], argument: Argument) -> str:
    value = node.get(name, argument.default)
    if value in (REQUIRED, "???"):
        return "; to be set"
    written = yaml.safe_dump(value, default_flow_style=True, width=1000).splitlines()[0]
    return f"; {written}"

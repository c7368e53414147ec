"""From a node of the config to the object it describes: the one place where `_target_` is followed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from mmtrain.errors import ConfigError
from mmtrain.settings import RunSettings, TechniqueSettings, TrainerSettings, TuningSettings

Config = Mapping[str, object]


def settings_of(config: Config) -> RunSettings:
    """The typed settings of a config that `check` has passed."""
    typed = {"trainer": TrainerSettings, "technique": TechniqueSettings, "tuning": TuningSettings}
    parts: dict[str, Any] = {name: make(**cast(Any, node(config, name))) for name, make in typed.items()}
    values: dict[str, Any] = {name: config[name] for name in RunSettings.__dataclass_fields__ if name not in typed}
    return RunSettings(**values, **parts)


def component(where: str, arguments: Mapping[str, object], *given: object) -> object:
    """Builds the component of a config node from what the code has and the node's own arguments.

    Raises:
        ConfigError: Naming the node, where the component refuses an argument or its package is not installed.
    """
    return called(where, factory(arguments, where), *given)


def factory(arguments: Mapping[str, object], where: str) -> Callable[..., object]:
    """The callable that a node's `_target_` names, with the node's arguments bound.

    An argument that is itself a component arrives as such a callable, for the component around it to call with what
    the child reads: the encoder of a video hands the facts of one frame to that of a picture.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    inner = {
        name: factory(value, f"{where}.{name}")
        for name, value in arguments.items()
        if isinstance(value, dict) and "_target_" in value
    }
    own = {name: value for name, value in arguments.items() if name not in inner}
    try:
        made = instantiate(own, _partial_=True, _recursive_=False, _convert_="all")
    except InstantiationException as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ConfigError(f"`{where}._target_` = {arguments.get('_target_')}: {reason}") from error
    return partial(cast(Callable[..., object], made), **inner)


def node(config: Config, name: str) -> dict[str, object]:
    """A mapping of the config."""
    value = config[name]
    if not isinstance(value, dict):
        raise ConfigError(f"`{name}` is {value!r}, not a mapping.")
    return value


def factory_for(config: Config, group: str, name: str, kind: str) -> Callable[..., object]:
    """The factory of a modality's own entry in a group, or that of its kind.

    Raises:
        ConfigError: There is neither.
    """
    entries = node(config, group)
    key = name if name in entries else kind
    entry = entries.get(key)
    if not isinstance(entry, dict):
        raise ConfigError(
            f"modality `{name}` is of kind {kind}, for which there is no `{group}.{kind}`; "
            f"choose one with {group}/{kind}=<option>."
        )
    return partial(called, f"{group}.{name}", factory(entry, f"{group}.{key}"))


def called(where: str, make: Callable[..., object], *given: object) -> object:
    """What a factory makes; what it refuses is told with the key of its node.

    Raises:
        ConfigError: A ValueError, TypeError or ImportError of the component.
    """
    try:
        return make(*given)
    except (ValueError, TypeError) as error:
        named = f"`{where}" in str(error)  # the component has named its key itself
        raise ConfigError(str(error) if named else f"`{where}`: {error}") from error
    except ImportError as error:
        raise ConfigError(f"`{where}` needs a package that is not installed: {error}") from error

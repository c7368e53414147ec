"""Configs as plain dictionaries: composed from YAML files and a command line, or read back from a run folder.

Composition follows Hydra's own rules (https://hydra.cc); ours on top: `encoder/image_2=resnet18` needs no entry in the
defaults list. Of Hydra's and OmegaConf's objects nothing leaves this module but through `composed`.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from mmtrain import paths, trust
from mmtrain.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

Config = dict[str, object]

VERSION_BASE = "1.3"
ROOT = "train"
BY_NAME = ("augment", "encoder", "reader")  # groups with one node a modality, and one folder of options a kind
_WORD = re.compile(  # a text in quotes, [1], or what stands between the signs of Hydra's grammar
    r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|[^\s,:=()\[\]{}"'](?:[^,:=()\[\]{}"']*[^\s,:=()\[\]{}"'])?"""
)
_BOTH = ("fusion", "task")
_NO_FUSION = "mmtrain.fusion.none.NoFusion"
_NAMED = re.compile(rf"^({'|'.join(BY_NAME)})/([^=@/]+)=(.*)$", re.DOTALL)


def search_path(config_dir: Path | None = None) -> list[Path]:
    """The folders that options are looked up in, the shipped one first: what it has cannot be replaced."""
    if config_dir is None:
        return [paths.config_dir()]
    if not config_dir.is_dir():
        raise ConfigError(f"`--config-dir {config_dir}`: no such folder.")
    return [paths.config_dir(), config_dir.resolve()]


def groups(config_dir: Path | None = None) -> list[str]:
    """Every folder that holds options: `encoder/image`, `fusion`, ..."""
    found = set(_defaults())  # also those that have no option yet
    for root in search_path(config_dir):
        found |= {file.parent.relative_to(root).as_posix() for file in root.rglob("*.yaml")}
    return sorted(found - {"."})


def group_options(group: str, config_dir: Path | None = None) -> list[str]:
    """The options of a group, as one writes them after `group=`."""
    return sorted({file.stem for root in search_path(config_dir) for file in (root / group).glob("*.yaml")})


def option_file(group: str, option: str, config_dir: Path | None = None) -> Path | None:
    """The file behind `group=option`."""
    files = (root / group / f"{option}.yaml" for root in search_path(config_dir))
    return next((file for file in files if file.is_file()), None)


def kind_of(name: str, known: Sequence[str]) -> str | None:
    """The longest kind that the modality's name starts with: `image_2` -> `image`."""
    return max((kind for kind in known if name.startswith(kind)), key=len, default=None)


def kinds(group: str, config_dir: Path | None = None) -> list[str]:
    """The kinds that `encoder`, `reader` or `augment` has a folder for."""
    return [path.removeprefix(f"{group}/") for path in groups(config_dir) if path.startswith(f"{group}/")]


def rewrite(overrides: Sequence[str], config_dir: Path | None = None) -> list[str]:
    """Turns `encoder/image_2=resnet18` into what Hydra wants where the defaults list lacks the name.

    That is `+encoder/image@encoder.image_2=resnet18`, or the same without `+` where an experiment has added the name.
    Values with letters beyond ASCII are put into quotes: Hydra's grammar has no such letters outside of them.
    """
    listed, known = _defaults(), groups(config_dir)
    named: dict[str, str] = {}  # the later one of two for the same name holds, as Hydra has it for listed groups
    others = []
    for text in map(_quote_words, overrides):
        match = _NAMED.match(text)
        group, name, option = match.groups() if match else ("", "", "")
        kind = kind_of(name, kinds(group, config_dir)) if match else None
        if kind is None or f"{group}/{name}" in listed:
            choice, _, value = text.partition("=")
            is_word = choice.lstrip("+") in known and value.lower() in ("nan", "inf", "true", "false")
            others.append(f"{choice}={quote(value)}" if is_word else text)  # an option's name, and to Hydra a number
        else:
            named[f"{group}/{kind}" + (f"@{group}.{name}" if name != kind else "")] = option
    if not named:
        return others
    added = choices(others, config_dir)
    return others + [f"{'' if key in added else '+'}{key}={option}" for key, option in named.items()]


def compose(overrides: Sequence[str] = (), config_dir: Path | None = None) -> Config:
    """The config of a training run, every reference in it resolved.

    Raises:
        ConfigError: Hydra cannot compose it. `check.faults` says more, and all at once.
    """
    return plain(composed(rewrite(overrides, config_dir), config_dir))


def plain(node: DictConfig) -> Config:
    """What a composed config holds, as dictionaries, lists, strings, numbers, booleans and None; without `hydra`."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        secret = next(_environment(OmegaConf.to_container(node, resolve=False)), None)
        if secret is not None:
            raise ConfigError(
                f"`{secret}` reads the environment; the config is saved with the run, so write the value itself."
            )
        values = {key: node[key] for key in node if key != "hydra"}
        return {
            str(key): OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for key, value in values.items()
        }
    except OmegaConfBaseException as error:
        raise ConfigError(f"`{error.full_key}`: {str(error).splitlines()[0]}") from None


def without_initial_weights(config: Mapping[str, object], *, but_files: bool = False) -> Config:
    """The config with no file or download of first weights: a checkpoint holds all of them.

    `but_files`: Keeps what names a file by its suffix, and leaves out downloads only.
    """

    def cleared(node: object, *files: str) -> object:
        if not isinstance(node, dict):
            return node
        made = {key: cleared(value, *files) for key, value in node.items()}
        for name in files:
            if name in made and not (but_files and Path(str(made[name])).suffix):
                made[name] = None
        if "pretrained" in made and not (but_files and Path(str(made.get("name", made.get("decoder")))).is_dir()):
            made["pretrained"] = False
        return made

    # The `weights` of a task are those of its losses.
    parts = {"encoder": ("weights", "vectors"), "task": (), "tuning": () if but_files else ("init_from",)}
    return {**config, **{part: cleared(config[part], *files) for part, files in parts.items() if part in config}}


def composed(overrides: Sequence[str], config_dir: Path | None = None) -> DictConfig:
    """Hydra's config, with its `hydra` node; leaves no global state of Hydra behind.

    Raises:
        ConfigError: Hydra cannot compose it; Hydra's or OmegaConf's own error is the cause.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    own = []
    if config_dir is not None:
        own = [f"hydra.searchpath=[{quote(f'file://{folder}')}]" for folder in search_path(config_dir)[1:]]
    try:
        with initialize_config_dir(str(paths.config_dir()), version_base=VERSION_BASE):
            return hydra_compose(ROOT, overrides=[*overrides, *own], return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(str(error).strip()) from error
    except yaml.YAMLError as error:
        raise ConfigError(" ".join(str(error).split())) from error


def choices(overrides: Sequence[str], config_dir: Path | None = None) -> dict[str, str]:
    """The options that were chosen, by group (`encoder/image@encoder.image_2`), the one that applies last first.

    Empty where the overrides do not compose.
    """
    try:
        return chosen(composed(overrides, config_dir))
    except ConfigError:
        return {}


def chosen(node: DictConfig) -> dict[str, str]:
    """As `choices`, of a config that is composed already."""
    return {str(group): str(option) for group, option in node.hydra.runtime.choices.items() if option is not None}


def load_run_config(folder: Path, config_dir: Path | None = None) -> Config:
    """The config that a run was made with, from its folder, which may come from a stranger.

    Raises:
        ConfigError: The file is no plain YAML, or would make us import what the user's own YAML files do not name.
    """
    path = folder / "config.yaml"
    config = trust.load(path)
    roots = search_path(config_dir)
    tops = {group.split("/")[0] for group in groups(config_dir)}
    for group, node in config.items():
        folders = [group] if group in tops else []  # a key such as `/tmp/x` must not choose where we look
        if group in BY_NAME and isinstance(node, dict):
            for name, entry in node.items():
                kind = kind_of(str(name), kinds(group, config_dir))
                trust.inspect({str(name): entry}, [f"{group}/{kind}" if kind else group], roots, path, group)
        else:
            trust.inspect({group: node}, folders, roots, path)
    return config


def unjoined(config: Mapping[str, object]) -> bool:
    """Whether a config asks one question of all modalities together, and has nothing that joins several."""
    fusion, task = (str(node.get("_target_")) if isinstance(node := config.get(part), dict) else "" for part in _BOTH)
    return fusion == _NO_FUSION and task.startswith("mmtrain.tasks.classification.")


def joined_for_nothing(config: Mapping[str, object]) -> bool:
    """Whether the task compares the modalities as they are before any fusion, and there is one all the same."""
    fusion, task = (str(node.get("_target_")) if isinstance(node := config.get(part), dict) else "" for part in _BOTH)
    return fusion != _NO_FUSION and task == "mmtrain.tasks.retrieval.Retrieval"


def quote(text: str) -> str:
    """A string as Hydra's grammar for overrides reads it back unchanged."""
    return json.dumps(text, ensure_ascii=False)


def _quote_words(override: str) -> str:
    key, equals, value = override.partition("=")
    return key + equals + _WORD.sub(lambda word: word[0] if word[0].isascii() or word[1] else quote(word[0]), value)


def required() -> set[str]:
    """The parts without which there is no run: those for which the root's defaults list has an option."""
    return {group.split("/")[0] for group, option in _defaults().items() if option is not None}


def _defaults() -> dict[str, str | None]:
    """The root's defaults list: the option of each group."""
    return _read_defaults(paths.config_dir() / f"{ROOT}.yaml")


@functools.cache
def _read_defaults(path: Path) -> dict[str, str | None]:
    root = yaml.safe_load(path.read_text(encoding="utf-8"))
    entries = [entry for entry in root["defaults"] if isinstance(entry, dict)]
    return {group: option for entry in entries for group, option in entry.items() if not group.startswith("override ")}


def _environment(node: object, key: str = "") -> Iterator[str]:
    """Keys, outside Hydra's own, whose value would copy an environment variable into the saved config."""
    if isinstance(node, dict):
        for name, value in node.items():
            if key or name != "hydra":
                yield from _environment(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list):
        for value in node:
            yield from _environment(value, key)
    elif isinstance(node, str) and re.search(r"\$\{\s*(oc\.)?env\s*:", node):
        yield key

"""Reads the config of a run folder as if a stranger had written it: nothing in it can name code of its choice.

A `_target_` must be, letter for letter, one that a YAML file of the same group on the user's own search path names.
Prefixes are not enough: `mmtrain.encoders.os.system` would pass one. Strings are compared before anything is imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import yaml

from mmtrain.errors import ConfigError

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
_NAMES_CODE = {"target", "class_path", "init_args", "callable", "factory", "object", "func", "function", "plugin"}
_NESTED = re.compile(r"defaults\[\d+\]\./([\w/]+)@\w+")  # `- /encoder/image@frame: convnet` in a defaults list
_REFUSED = {"defaults", "hydra", "override"}


class _Loader(yaml.SafeLoader):
    """Safe YAML, less what a plain config never holds: a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise yaml.MarkedYAMLError(problem="a key that is not plain text", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"key '{key.value}' twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load(path: Path) -> dict[str, object]:
    """A YAML file as plain dictionaries and lists.

    Raises:
        ConfigError: Too large, too deep, an alias or tag, a key twice, a `${`, or no YAML at all.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES:,} bytes; that is no config of a run.")
        text = raw.decode("utf-8")
        _refuse_events(text)
        config = yaml.load(text, Loader=_Loader)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; expected a run folder.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}.") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: {error.problem}; a config of a run is plain YAML.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}; a config of a run is plain YAML.") from None
    if not isinstance(config, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(config).__name__}.")
    return config


def inspect(
    nodes: dict[str, object], groups: Sequence[str], roots: Sequence[Path], path: Path, prefix: str = ""
) -> None:
    """Refuses nodes that name code which no YAML file of `groups` under `roots` names.

    Args:
        nodes: The part of the config to look at.
        groups: Folders, relative to the roots, whose YAML files say what may be named.
        roots: The user's own search path.
        path: The file, for messages.
        prefix: Where in the config the part lies, for messages.
    """
    known = [component for group in groups for component in _components(roots, group)]
    targets = [component["_target_"] for component in known]
    for key, value, siblings in _walk(nodes, prefix):
        name = key.rpartition(".")[2]
        if isinstance(value, str) and "${" in value:
            raise ConfigError(f"{path}: `{key}` holds '${{': a saved config has values, not references.")
        if name == "_target_":
            if value not in targets:
                where = f"no file of {' or '.join(groups)} names" if groups else "has no place here"
                raise ConfigError(
                    f"{path}: `{key}` is {value!r}, which {where}; if the run was made with components of your own, "
                    "repeat its `--config-dir`."
                )
        elif name in _NAMES_CODE:
            # `target: label` names a column. It is only legal where our own file for the same class has such a key.
            own = [component for component in known if component["_target_"] == siblings.get("_target_")]
            if not any(name in component for component in own):
                raise ConfigError(f"{path}: `{key}` could name code, and nothing of mmtrain has such a key here.")
        elif name.startswith("_") or name in _REFUSED:
            raise ConfigError(f"{path}: `{key}` steers Hydra or could name code; a saved config has no such key.")


def _refuse_events(text: str) -> None:
    """Refuses aliases, tags and depth from the stream of events, before any object is made from it."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        problem = None
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            problem = "an alias or anchor"
        elif (tag := getattr(event, "tag", None)) is not None:
            problem = f"the tag {tag}"
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            problem = f"more than {MAX_DEPTH} levels" if depth > MAX_DEPTH else None
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if problem:
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=cast(yaml.Mark, event.start_mark))


def _components(roots: Sequence[Path], group: str) -> Iterator[dict[str, object]]:
    """Every node with a `_target_` in the YAML files of a group, nested ones and those of their defaults included."""
    within = {group}
    waiting = [group]
    while waiting:
        folder = waiting.pop()
        for file in (file for root in roots for file in sorted((root / folder).rglob("*.yaml"))):
            loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
            for key, _, siblings in _walk({"": loaded}):
                if key.rpartition(".")[2] == "_target_":
                    yield siblings
                elif match := _NESTED.fullmatch(key):
                    waiting += {match[1]} - within
                    within.add(match[1])


def _walk(node: object, prefix: str = "") -> Iterator[tuple[str, object, dict[str, object]]]:
    """(dotted key, value, the dictionary it is in) of everything below a node."""
    if isinstance(node, dict):
        for name, value in node.items():
            key = f"{prefix}.{name}" if prefix else str(name)
            yield key, value, node
            yield from _walk(value, key)
    elif isinstance(node, list):
        for position, value in enumerate(node):
            yield f"{prefix}[{position}]", value, {}
            yield from _walk(value, f"{prefix}[{position}]")

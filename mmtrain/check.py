"""All faults of a command line at once: each override by itself first, then the config that they make together.

Hydra alone stops at the first fault, with the words of its own grammar, and lets a typo inside a YAML file pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from mmtrain import compose
from mmtrain.errors import ConfigError
from mmtrain.suggest import did_you_mean
from mmtrain.validate import NO_DEFAULT, validate

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override


def faults(overrides: Sequence[str], config_dir: Path | None = None, *, multirun: bool = False) -> list[str]:
    """Every fault of a command line and of the YAML files it chooses, one line each; empty where it can be run.

    Args:
        overrides: `key=value` and `group=option`, as typed.
        config_dir: The user's own folder of options.
        multirun: Whether a value may be several, as for `-m`; then each of them is looked at.
    """
    if multirun:
        from mmtrain import sweeper

        sweeper.register()
    line = _CommandLine(config_dir, multirun)
    for text in compose.rewrite(overrides, config_dir):
        line.read(text)
    told = [*line.faults, *_hidden(config_dir)]
    for variant in line.variants():
        told += _faults_together(variant, line, config_dir)
    return list(dict.fromkeys(told or _unlisted(line, config_dir)))


def axis(text: str) -> tuple[str, list[str]]:
    """The key of an override and each value it stands for: `fusion=concat,sum` has two.

    Raises:
        ConfigError: It is no `key=value` of Hydra's grammar.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise ConfigError(f"`{text}`: {_unreadable(text, error)}") from None
    return override.get_key_element(), [] if override.is_delete() else _written(override)


def _unreadable(text: str, error: Exception) -> str:
    """What Hydra's grammar has against an override; of a sign that it has no use for, how it is written."""
    reason = str(error).splitlines()[0]
    if not reason.startswith(("token recognition error", "extraneous input ','")):
        return reason
    key, _, value = text.partition("=")
    return (
        f"{reason.split(' expecting')[0]}; in quotes, which the shell must leave there: '{key}={compose.quote(value)}'"
    )


@dataclass
class _CommandLine:
    """The overrides that parse, each with the values it stands for, and the faults of those that do not."""

    config_dir: Path | None
    multirun: bool
    faults: list[str] = field(default_factory=list)
    choices: list[list[str]] = field(default_factory=list)  # [["fusion=concat", "fusion=sum"]]
    values: list[list[str]] = field(default_factory=list)  # [["++seed=0", "++seed=1"]]
    keys: list[str] = field(default_factory=list)  # dotted, as far as typed
    added: list[str] = field(default_factory=list)  # those of `keys` that were typed with a `+`
    undecided: list[str] = field(default_factory=list)  # nodes whose option is unknown: their keys cannot be judged

    def read(self, text: str) -> None:
        """Takes one override in."""
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from hydra.errors import HydraException

        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException as error:
            reason = _unreadable(text, error) if "=" in text else "expected key=value."
            self.faults.append(f"`{text}`: {reason}")
            return
        key, group = override.get_key_element(), override.key_or_group
        if override.is_sweep_override() and not self.multirun:
            value = text.partition("=")[2]
            self.faults.append(f"`{text}`: several values; a list is written {key}=[{value}], a sweep needs -m.")
        elif group in ("hydra.searchpath", "hydra.mode"):
            self.faults.append(f"`{group}`: expected --config-dir for options of your own, -m for a sweep.")
        elif override.is_delete():
            self.values.append([text])
        elif group.startswith(("hydra.", "hydra/")):
            self.values.append([f"{key}={value}" for value in _written(override)])
        elif group in compose.groups(self.config_dir):
            self._option(override)
        elif "/" in group:
            self.faults.append(f"`{group}`: no such group.{did_you_mean(group, compose.groups(self.config_dir))}")
        elif group in compose.BY_NAME:
            self._kind_left_out(override)
        else:
            # Every key is forced in, and unknown ones are found by `validate`, which knows all that is legal.
            self.values.append([f"++{group}={value}" for value in _written(override)])
            self.keys.append(group)
            self.added += [group] if key != group else []

    def variants(self) -> list[list[str]]:
        """Command lines without a sweep: the first value of each override, then one for every further value."""
        all_values = [*self.choices, *self.values]
        first = [values[0] for values in all_values]
        further = [
            [*first[:position], value, *first[position + 1 :]]
            for position, values in enumerate(all_values)
            for value in values[1:]
        ]
        return [first, *further]

    def sets(self, key: str) -> bool:
        """Whether the value at a dotted key was typed, and not read from a file."""
        return any(_below(key, typed) for typed in self.keys)

    def _option(self, override: Override) -> None:
        from hydra.core.override_parser.types import Glob

        group, options = override.key_or_group, compose.group_options(override.key_or_group, self.config_dir)
        several = override.value()
        named = several.filter(options) if isinstance(several, Glob) else _written(override)
        wrong = [option for option in named if option != "null" and option.strip("'\"[]") not in options]
        for option in wrong:
            known = did_you_mean(option, options) or f" There is {', '.join(options)}."
            self.faults.append(f"`{group}`: no option '{option}'.{known}")
        if not named:
            self.faults.append(f"`{group}`: {override.get_value_element_as_str()} leaves none of {', '.join(options)}.")
        elif wrong:
            self.undecided.append(override.package or group.replace("/", "."))
        else:
            self.choices.append([f"{override.get_key_element()}={option}" for option in named])

    def _kind_left_out(self, override: Override) -> None:
        group, option = override.key_or_group, override.get_value_element_as_str()
        kinds = compose.kinds(group, self.config_dir)
        having = [k for k in kinds if option in compose.group_options(f"{group}/{k}", self.config_dir)] or kinds
        self.faults.append(f"`{group}`: has one option a kind. Did you mean `{group}/{having[0]}={option}`?")


def _hidden(config_dir: Path | None) -> Iterator[str]:
    """The user's options that a shipped one of the same name hides."""
    shipped, *own = compose.search_path(config_dir)
    for root in own:
        for file in sorted(root.rglob("*.yaml")):
            if (shipped / file.relative_to(root)).is_file():
                yield f"{file}: a shipped option has this name and would be used instead; rename the file."


def _faults_together(variant: list[str], line: _CommandLine, config_dir: Path | None) -> Iterator[str]:
    """The faults of a config without a sweep."""
    try:
        node = compose.composed(variant, config_dir)
        found = validate(compose.plain(node), config_dir)
    except ConfigError as error:
        yield _explained(error, line)
        return
    chosen = compose.chosen(node)
    for fault in found:
        if not any(_below(fault.key, part) for part in line.undecided):
            unset = fault.message.startswith(NO_DEFAULT)
            file = None if unset or line.sets(fault.key) else _file_of(fault.key, chosen, config_dir)
            yield f"{file}: {fault}" if file else str(fault)


def _unlisted(line: _CommandLine, config_dir: Path | None) -> Iterator[str]:
    """Keys that are legal and in no YAML file: Hydra wants a `+` before them."""
    plainly = [key for key in line.keys if key not in line.added]
    config = compose.plain(compose.composed([options[0] for options in line.choices], config_dir)) if plainly else {}
    for key in plainly:
        if not _has(config, key.split(".")):
            yield f"`{key}`: legal, but in no YAML file, so it is added with a plus: +{key}=..."


def _written(override: Override) -> list[str]:
    """The values of an override as one would type them; the two ends of an interval."""
    from hydra.core.override_parser.types import IntervalSweep

    if override.is_choice_sweep() or override.is_range_sweep():
        return list(override.sweep_string_iterator())
    if isinstance(ends := override.value(), IntervalSweep):
        return [str(ends.start), str(ends.end)]
    return [override.get_value_element_as_str()]


def _below(key: str, node: str) -> bool:
    return key == node or key.startswith(f"{node}.")


def _explained(error: ConfigError, line: _CommandLine) -> str:
    """Hydra's message in one line, with what was meant."""
    reason, known = str(error).splitlines()[0], compose.groups(line.config_dir)
    missing = getattr(error.__cause__, "missing_cfg_file", None)  # of Hydra's MissingConfigException
    if missing:
        group, _, option = missing.rpartition("/")
        meant = did_you_mean(option, compose.group_options(group, line.config_dir)) or did_you_mean(group, known)
        files = [file for choices in line.choices if (file := _typed_file(choices[0], line.config_dir))]
        naming = [f"{file}: " for file in files if re.search(rf":\s*{re.escape(option)}\b", file.read_text("utf-8"))]
        return f"{''.join(naming[:1])}`{group}`: no option '{option}'.{meant}"
    quoted = re.search(r"ould not (?:override|find) '([^'@]+)", reason)
    return reason + (did_you_mean(quoted[1], known) if quoted else "")


def _typed_file(choice: str, config_dir: Path | None) -> Path | None:
    """The file of `group=option`."""
    group, _, option = choice.partition("=")
    return compose.option_file(group.lstrip("+").partition("@")[0], option, config_dir)


def _file_of(key: str, chosen: Mapping[str, str], config_dir: Path | None) -> Path | None:
    """The YAML file that has set a key, the one that applied last; None where none has."""
    for choice, option in chosen.items():
        group, _, package = choice.partition("@")
        file = compose.option_file(group, option, config_dir)
        if file is None:
            continue
        text = file.read_text(encoding="utf-8")
        header = re.match(r"#\s*@package\s+(\S+)", text)
        package = package or (header[1] if header else "") or group.replace("/", ".")
        path = key if package == "_global_" else key.removeprefix(f"{package}.")
        if (package == "_global_" or path != key) and _has(yaml.safe_load(text), path.split(".")):
            return file
    return None


def _has(node: object, path: Sequence[str]) -> bool:
    return not path or (isinstance(node, dict) and path[0] in node and _has(node[path[0]], path[1:]))

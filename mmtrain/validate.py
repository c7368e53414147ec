"""Holds a composed config against the code it names, before anything is built, and tells every fault.

Nothing here says what is legal. That stands in the constructors' signatures, in the dataclasses of `settings.py` and in
the folders of YAML files. A key that none of them knows is a fault, so that a typo in a YAML file cannot pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, cast

from mmtrain import compose
from mmtrain.errors import ConfigError
from mmtrain.settings import RunSettings
from mmtrain.signatures import REQUIRED, Argument, accepts, arguments, choices, described, locate
from mmtrain.suggest import did_you_mean

MISSING = "???"  # a value that a YAML file leaves to the user
NO_DEFAULT = "has no default"
_RUN_NAME = re.compile(r"\w[\w.-]*")

Schema = dict[str, dict[str, Argument] | None]  # what the mapping at a dotted key may hold; None: anything


@dataclass(frozen=True)
class Fault:
    """What is wrong at a dotted key."""

    key: str
    message: str

    def __str__(self) -> str:
        return f"`{self.key}`: {self.message}"


def refuse(config: Mapping[str, object], config_dir: Path | None = None) -> None:
    """Raises a ConfigError with every fault, one a line."""
    if found := validate(config, config_dir):
        raise ConfigError("\n".join(map(str, found)))


def validate(config: Mapping[str, object], config_dir: Path | None = None) -> list[Fault]:
    """Every fault of a plain config: unknown and missing keys, types, ranges, and settings that do not go together."""
    settings = arguments(RunSettings) or {}
    groups = compose.groups(config_dir)
    parts = {group.split("/")[0] for group in groups} - set(settings)
    required = compose.required()
    legal = {part: Argument(REQUIRED, REQUIRED if part in required else None) for part in sorted(parts)}
    schema: Schema = {"": settings | legal}
    schema |= {name: arguments(a.hint) for name, a in settings.items() if is_dataclass(a.hint) and callable(a.hint)}
    mappings: dict[str, Mapping[str, object]] = {"": config}
    mappings |= {name: node for name in schema if isinstance(node := config.get(name), dict)}
    found = []
    for key, node in _components(config, sorted(parts)):
        try:
            schema[key] = arguments(locate(str(node["_target_"])))
            mappings[key] = node
        except KeyError:
            group = key.replace(".", "/")
            found.append(Fault(key, f"has no option yet (no `_target_`); choose one first: {group}=<option>."))
        except ValueError as error:
            found.append(Fault(f"{key}._target_", str(error)))
    for key, mapping in mappings.items():
        found += _mapping(key, mapping, schema, groups)
    return [*found, *_together(config, {fault.key for fault in found})]


def _components(config: Mapping[str, object], parts: list[str]) -> Iterator[tuple[str, dict[str, object]]]:
    """The nodes that name a class, nested ones included; of the groups by name only those that `modalities` uses."""
    for part in parts:
        node = config.get(part)
        if part in compose.BY_NAME and isinstance(node, dict):
            for name in _used(node, config.get("modalities")):
                yield from _nested(f"{part}.{name}", node[name], outermost=True)
        else:
            yield from _nested(part, node, outermost=True)


def _used(entries: Mapping[str, object], modalities: object) -> list[str]:
    """The entries that a config needs: a modality's own, or that of its kind; all where the data decides."""
    if not isinstance(modalities, list) or not modalities:
        return list(entries)
    names = (name if name in entries else compose.kind_of(str(name), list(entries)) for name in modalities)
    return [name for name in dict.fromkeys(names) if name is not None]


def _nested(key: str, node: object, *, outermost: bool = False) -> Iterator[tuple[str, dict[str, object]]]:
    if isinstance(node, dict):
        if outermost or "_target_" in node:
            yield key, node
        for name, value in node.items():
            yield from _nested(f"{key}.{name}", value)
    elif isinstance(node, list):
        for position, value in enumerate(node):
            yield from _nested(f"{key}[{position}]", value)


def _mapping(key: str, mapping: Mapping[str, object], schema: Schema, groups: list[str]) -> Iterator[Fault]:
    """The faults of one mapping; those of the mappings inside it are told by their own."""
    accepted = schema[key]
    prefix = f"{key}." if key else ""
    for name, argument in (accepted or {}).items():
        if argument.default is REQUIRED and name not in mapping:
            expected = f"{described(argument.hint)}" if argument.hint is not REQUIRED else f"an option, {name}=<option>"
            yield Fault(f"{prefix}{name}", f"is left out; expected {expected}.")
    for name, value in mapping.items():
        if name == "_target_":
            continue
        path = f"{prefix}{name}"
        if accepted is not None and name not in accepted:
            legal = [f"{k}.{n}" if k else n for k, known in schema.items() for n in known or ()]
            yield Fault(path, f"no such key.{did_you_mean(path, [*legal, *groups])}")
        elif value == MISSING:
            hint = accepted[name].hint if accepted else REQUIRED
            yield Fault(path, f"{NO_DEFAULT}; set it: {path}=<{described(hint)}>.")
        elif path in schema and not isinstance(value, dict):
            yield Fault(path, f"found {value!r}, expected a mapping; an option is chosen with {path}=<option>.")
        elif accepted is not None and path not in schema and not accepts(accepted[name].hint, value):
            hint = accepted[name].hint
            meant = did_you_mean(value, choices(hint)) if isinstance(value, str) else _unquoted(value, hint)
            yield Fault(path, f"found {value!r}, expected {described(hint)}.{meant}")
        elif key == "" and name in compose.BY_NAME and not isinstance(value, dict):
            yield Fault(path, f"found {value!r}, expected an entry a kind; choose one with {path}/<kind>=<option>.")


def _unquoted(value: object, hint: object) -> str:
    """What to do where text was meant and YAML has made a truth value of it."""
    held = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else [value]
    if "str" not in described(hint) or not any(isinstance(one, bool) for one in held):
        return ""
    return (
        " YAML takes yes, no, on, off, true and false for true or false: write 'yes' in quotes where the text is meant."
    )


def _together(config: Mapping[str, object], faulty: set[str]) -> Iterator[Fault]:
    """Values that are legal by themselves and not together; those at a key in `faulty` are left out of it."""
    sound = {name: value for name, value in config.items() if name not in faulty}
    for name, value in sound.items():
        if isinstance(value, dict):
            sound[name] = {key: inner for key, inner in value.items() if f"{name}.{key}" not in faulty}
    settings = cast(dict[str, Any], sound)
    trainer = asdict(RunSettings().trainer) | (settings.get("trainer") or {})
    modalities = settings.get("modalities")
    name = settings.get("name", "train")
    if not _RUN_NAME.fullmatch(name):
        yield Fault("name", f"found {name!r}, expected letters, digits, `.`, `_` and `-`: it becomes a folder.")
    if modalities == []:
        yield Fault("modalities", "is empty; name at least one, or null for all that the data has.")
    for key in ("modalities", "share_encoder"):
        twice = sorted({name for name in settings.get(key) or () if settings[key].count(name) > 1})
        if twice:
            yield Fault(key, f"names {', '.join(twice)} twice.")
    strangers = [n for n in settings.get("share_encoder") or () if modalities is not None and n not in modalities]
    if strangers:
        message = f"{strangers[0]} is not among `modalities`.{did_you_mean(strangers[0], modalities or ())}"
        yield Fault("share_encoder", message)
    if trainer["accumulate"] > trainer["batch_size"]:
        found = f"found {trainer['accumulate']}, expected at most `trainer.batch_size` (={trainer['batch_size']})"
        yield Fault("trainer.accumulate", f"{found}: each part of a batch needs a row.")
    warmup, steps = (settings.get("schedule") or {}).get("warmup_steps", 0), trainer["max_steps"]
    if steps is not None and warmup > steps:
        yield Fault("schedule.warmup_steps", f"found {warmup}, expected at most `trainer.max_steps` (={steps}).")
    technique = asdict(RunSettings().technique) | (settings.get("technique") or {})
    if trainer["ema_decay"] is not None and trainer["swa_from"] is not None:
        yield Fault("trainer.swa_from", "is another average than `trainer.ema_decay`; set one of the two to null.")
    for key in ("unimodal_steps", "ogm_ge", "mmpareto"):
        if technique[key] and technique["gradient_blending"]:
            yield Fault(
                "technique.gradient_blending", f"weighs the losses that technique.{key} balances; set one to 0."
            )
    for key in ("unimodal_steps", "ogm_ge", "mmpareto", "gradient_blending"):
        if technique[key] and not technique["unimodal_weight"]:
            yield Fault(f"technique.{key}", "needs the unimodal heads; set technique.unimodal_weight=1.")
    if compose.unjoined(settings) and len(modalities or ()) > 1:
        yield Fault("fusion", "none does not join modalities; with several, choose another: `mmtrain list fusion`.")
    if compose.joined_for_nothing(settings):
        yield Fault("fusion", "retrieval compares the modalities as they are and joins none; set fusion=none.")

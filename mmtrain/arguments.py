"""The arguments of every verb but training: a few `key=value` pairs, checked before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmtrain.errors import ConfigError
from mmtrain.suggest import did_you_mean

CONFIG_DIR = "config-dir"  # accepted by every verb, as a flag: --config-dir DIR
_FLAGS = ("--config-dir", "-cd")


class HelpAsked(Exception):  # noqa: N818  no error: the way out of `parse` to whoever prints
    """The user wants to know how a verb is used; the text is the answer."""


def parse(
    verb: str, arguments: Sequence[str], *, positional: Sequence[str] = (), options: Mapping[str, str]
) -> dict[str, str]:
    """What was typed after a verb, by name.

    Args:
        verb: As typed, for messages.
        arguments: All that follows it.
        positional: Names of what comes first, without a key; one in brackets, such as `[group]`, may be left out.
        options: What each `key=value` means. `--config-dir DIR` is accepted besides, as `config-dir`.

    Raises:
        ConfigError: An unknown key, a missing or surplus argument.
        HelpAsked: `--help` is among the arguments.
    """
    if "--help" in arguments or "-h" in arguments:
        raise HelpAsked(_usage(verb, positional, options))
    found: dict[str, str] = {}
    names = list(positional)
    rest = iter(arguments)
    for text in rest:
        flag, equals, value = text.partition("=")
        if flag in _FLAGS:
            found[CONFIG_DIR] = value if equals else next(rest, "")
            if not found[CONFIG_DIR]:
                raise ConfigError(f"`{flag}` needs a folder: {flag} DIR.")
        elif flag in options:
            if not equals:
                raise ConfigError(f"`{flag}` needs a value: {flag}=...")
            found[flag] = value
        elif equals or text.startswith("-"):
            hint = did_you_mean(flag, [*options, *_FLAGS]) or f" {_short(verb, positional, options)}"
            raise ConfigError(f"`{text}`: mmtrain {verb} knows no `{flag}`.{hint}")
        elif names:
            found[names.pop(0).strip("[]")] = text
        else:
            raise ConfigError(f"`{text}`: one argument too many. {_short(verb, positional, options)}")
    missing = [name for name in names if not name.startswith("[")]
    if missing:
        raise ConfigError(f"`{missing[0]}` is missing. {_short(verb, positional, options)}")
    return found


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Parts the flags of a verb that takes a training command line, with their values, from its overrides."""
    flags: list[str] = []
    overrides: list[str] = []
    for text in arguments:
        belongs = text.startswith("-") or (flags[-1:] and flags[-1] in _FLAGS)
        (flags if belongs else overrides).append(text)
    return flags, overrides


def _short(verb: str, positional: Sequence[str], options: Mapping[str, str]) -> str:
    names = [name if name.startswith("[") else f"<{name}>" for name in positional]
    keys = [f"[{name}=...]" for name in options]
    return "Usage: " + " ".join(["mmtrain", verb, *names, *keys, "[--config-dir DIR]"])


def _usage(verb: str, positional: Sequence[str], options: Mapping[str, str]) -> str:
    meanings = {f"{name}=...": meaning for name, meaning in options.items()}
    meanings["--config-dir DIR"] = "also look for options in your own folder"
    width = max(map(len, meanings))
    lines = [f"  {name.ljust(width)}  {meaning}" for name, meaning in meanings.items()]
    return "\n".join([_short(verb, positional, options), "", *lines])

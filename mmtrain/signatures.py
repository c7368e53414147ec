"""What a component's constructor accepts, read from its signature: the one schema there is of its config node.

`check` holds values against it and `mmtrain list` prints it. Arguments that the code itself hands over (`spec`,
`modalities`, `total_steps`) come first and have no default; the config sets the others.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import math
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Annotated, Literal, Union, get_args, get_origin

from mmtrain.contracts import Range
from mmtrain.suggest import did_you_mean

REQUIRED = inspect.Parameter.empty


@dataclasses.dataclass(frozen=True)
class Argument:
    """One argument that a config may set: its type with ranges, and its default or REQUIRED."""

    hint: object
    default: object = REQUIRED


def locate(target: str) -> Callable[..., object]:
    """The class or function behind a `_target_`.

    Raises:
        ValueError: Nothing there can be imported or called; the message says why.
    """
    module_name, _, name = target.rpartition(".")
    if not module_name:
        raise ValueError(f"'{target}' is no dotted path; expected module.Class.")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(f"cannot import '{target}': {error}.") from error
    except Exception as error:  # the user's own module runs here, and may fail in any way
        raise ValueError(f"importing '{module_name}' failed: {type(error).__name__}: {error}") from error
    found = getattr(module, name, None)
    if not callable(found):
        raise ValueError(f"'{module_name}' has no class '{name}'.{did_you_mean(name, vars(module))}")
    return typing.cast(Callable[..., object], found)


def arguments(component: Callable[..., object]) -> dict[str, Argument] | None:
    """The arguments that a config may set, in order; None where the component takes any (`**kwargs`)."""
    if dataclasses.is_dataclass(component):
        hints = typing.get_type_hints(component, include_extras=True)
        return {f.name: Argument(hints[f.name], _default(f)) for f in dataclasses.fields(component)}
    function = component.__init__ if inspect.isclass(component) else component
    parameters = inspect.signature(component).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return {
        p.name: Argument(_hint(p.annotation, function), p.default)
        for p in parameters
        if p.kind is p.KEYWORD_ONLY or (p.kind is p.POSITIONAL_OR_KEYWORD and p.default is not REQUIRED)
    }


def accepts(hint: object, value: object) -> bool:
    """Whether a value from a YAML file fits a type; numbers must be finite, and a bool is no number."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint in (REQUIRED, object, typing.Any):
        return True
    if origin is Annotated:
        ranges = [extra for extra in inner[1:] if isinstance(extra, Range)]
        return accepts(inner[0], value) and (
            not isinstance(value, int | float) or all(value in legal for legal in ranges)
        )
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in inner)
    if origin in (Union, types.UnionType):
        return any(accepts(one, value) for one in inner)
    if origin is tuple and Ellipsis not in inner:
        return isinstance(value, list) and len(value) == len(inner) and all(map(accepts, inner, value))
    if origin in (list, tuple, Sequence):
        return isinstance(value, list) and all(accepts(inner[0], item) for item in value)
    if origin in (dict, Mapping):
        if not isinstance(value, dict) or any(isinstance(key, bool) for key in value):  # what YAML makes of `no:`
            return False
        return all(accepts(inner[1], item) for item in value.values())
    if hint in (None, type(None)):
        return value is None
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (bool, str, list, dict):
        return isinstance(value, typing.cast(type, hint))
    return isinstance(value, dict) and "_target_" in value  # a nested component, built before it is handed over


def described(hint: object) -> str:
    """A type in words: `int, at least 1`, `one of 'squash', 'crop'`, `float or null`."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is REQUIRED:
        return "any value"
    if origin is Annotated:
        return ", ".join([described(inner[0]), *(str(extra) for extra in inner[1:] if isinstance(extra, Range))])
    if origin is Literal:
        return ("one of " if len(inner) > 1 else "") + ", ".join(map(str, inner))
    if origin in (Union, types.UnionType):
        return " or ".join(described(one) for one in inner)
    if origin is tuple and Ellipsis not in inner:
        return f"list of {len(inner)}: {', '.join(map(described, inner))}"
    if origin in (list, tuple, Sequence):
        return f"list of {described(inner[0])}"
    if origin in (dict, Mapping):
        return f"mapping to {described(inner[1])}"
    if origin is Callable:
        return "a component with a `_target_`"
    if hint in (None, type(None)):
        return "null"
    return hint.__name__ if isinstance(hint, type) else str(hint)


def choices(hint: object) -> list[str]:
    """The words that a type lists, however nested: what a mistyped value may have been meant to be."""
    if get_origin(hint) is Literal:
        return [choice for choice in get_args(hint) if isinstance(choice, str)]
    return [choice for inner in get_args(hint) for choice in choices(inner)]


def _default(field: dataclasses.Field[object]) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return REQUIRED if field.default is dataclasses.MISSING else field.default


def _hint(annotation: object, function: Callable[..., object]) -> object:
    """A resolved annotation; REQUIRED, which accepts anything, where its names are only there for a type checker."""
    if annotation is REQUIRED:
        return REQUIRED
    names = vars(sys.modules[function.__module__]) | getattr(inspect.unwrap(function), "__globals__", {})
    try:
        one = SimpleNamespace(__annotations__={"argument": annotation})
        return typing.get_type_hints(one, globalns=names, include_extras=True)["argument"]
    except NameError:
        return REQUIRED

"""Cells of a target that hold several things: parted at a separator, or a list in JSON."""

from __future__ import annotations

import json

JSON = "json"
LONGEST = 80  # characters of a cell that a message shows


def shown(value: str) -> str:
    """A value in a message."""
    return repr(value[:LONGEST]) + ("..." if len(value) > LONGEST else "")


def read_json(value: str) -> object:
    """The content of a JSON cell.

    Raises:
        ValueError: It is none.
    """
    try:
        content: object = json.loads(value, parse_int=float)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{shown(value)} is no JSON: {error}") from None
    return content


def require_separator(key: str, separator: str | None) -> None:
    """Refuses an empty text as what stands between the parts of a cell; `key` is the setting that names it."""
    if separator == "":
        raise ValueError(f"`{key}` is empty; a blank stands in quotes, which the shell must leave there: '{key}=\" \"'")


def parts(value: str, separator: str) -> list[str]:
    """What a cell holds: between the separators, less the blanks around them, or the strings of a JSON list.

    Args:
        value: The cell.
        separator: One or more characters, or `json`; a JSON list may be empty and keeps its strings as they are.

    Raises:
        ValueError: A part is empty, or the cell is no JSON list of strings.
    """
    found: list[str] = []
    content = read_json(value) if separator == JSON else [part.strip() for part in value.split(separator)]
    if not isinstance(content, list):
        raise ValueError(f'{shown(value)} is no list; expected one in JSON, such as ["a", "b"]')
    for part in content:
        if not isinstance(part, str):
            raise ValueError(f"{shown(value)} holds {str(part)[:LONGEST]}, which is no string")
        if not part.strip():
            raise ValueError(f"{shown(value)} has an empty part")
        found.append(part)
    return found

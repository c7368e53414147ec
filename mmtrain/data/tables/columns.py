"""Which columns of a table make up which modalities: as the config says, else by the start of the columns' names.

Most modalities are one column. A `tabular` one has any number, and several pictures are one `video`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mmtrain.data.tables.manifest import Manifest
from mmtrain.errors import DataError

KINDS = ("text", "image", "audio", "video", "tabular", "features")
"""The kinds that a modality has by the start of its name, where the config does not say its kind."""

_GUESSED = ("text", "image", "audio", "video", "features")  # numbers and categories are used where asked for by name
_SINGLE = ("text", "image", "audio", "features")
_FILE = re.compile(r"\.[^\W\d]\w{0,4}$")  # `a.png`, not `0.5`


class Modality(NamedTuple):
    """The kind of a modality and its columns, in the order in which a reader gets their cells."""

    kind: str
    columns: tuple[str, ...]

    @property
    def names_files(self) -> bool:
        """Whether its cells name files; those of the user's own kinds do."""
        return self.kind not in ("text", "tabular")

    @property
    def several(self) -> bool:
        """Whether a reader gets a tuple of cells."""
        return self.kind == "tabular" or len(self.columns) > 1


def kind_of(name: str) -> str | None:
    """The kind by the start of a name: `image_2` is an image."""
    return next((kind for kind in KINDS if name.startswith(kind)), None)


def modalities(
    table: Manifest, kinds: Mapping[str, str] | None, columns: Mapping[str, Sequence[str]] | None, others: set[str]
) -> dict[str, Modality]:
    """The modalities of a table, in the order of `kinds`, or of its columns; those of several columns at the end.

    Args:
        table: The table.
        kinds: The kind of each modality, by column or by name in `columns`; None: by the start of the columns' names.
            Of those that are called more than `image` or `audio`, one in which no cell is a file name is none.
        columns: The columns of a modality, by its name.
        others: Columns that are something else, such as the label.

    Raises:
        DataError: There is no such column, or no modality at all.
        ValueError: `kinds` and `columns` do not go together.
    """
    grouped = {name: tuple(members) for name, members in (columns or {}).items()}
    for name, members in grouped.items():
        if not members:
            raise ValueError(f"`columns.{name}` is empty; list its columns, or leave it out.")
        for column in members:
            table.column(column, f"dataset.columns.{name}")
        if len(set(members)) < len(members):
            raise ValueError(f"`columns.{name}` (={list(members)}) names a column twice.")
    for name in kinds or {}:
        if name not in grouped:
            table.column(name, "dataset.kinds")
    guessed = _guess(table, {*others, *(c for members in grouped.values() for c in members)}) if kinds is None else {}
    found = {name: Modality(kind, grouped.get(name, (name,))) for name, kind in (guessed or kinds or {}).items()}
    for name, members in grouped.items():
        if name not in found:
            kind = kind_of(name)
            if kind is None:
                raise ValueError(
                    f"`columns` joins {', '.join(members)} to `{name}`, whose kind its name does not tell; add it:"
                    f" `dataset.kinds={{{name}: {' | '.join(KINDS)}}}`."
                )
            found[name] = Modality(kind, members)
    for name, modality in found.items():
        if modality.kind in _SINGLE and len(modality.columns) > 1:
            raise ValueError(
                f"`columns.{name}` joins {len(modality.columns)} columns, but {modality.kind} has one; pictures in a"
                " row are of kind video, numbers and categories of kind tabular."
            )
    if not found:
        raise DataError(
            f"{table.name}: no column holds a modality: none starts with {', '.join(_GUESSED)} (and names files);"
            f" set `dataset.kinds={{column: kind}}`; columns: {', '.join(table.columns)}."
        )
    return found


def filled(table: Manifest, modality: Modality) -> bytes:
    """A byte a row, 1 where one of the columns is not blank: asked for often, and shared by worker processes."""
    found = np.zeros(len(table), bool)
    for column in modality.columns:
        if column in table.columns:
            found |= table.columns[column].filled()
    return found.tobytes()


def _guess(table: Manifest, others: set[str]) -> dict[str, str]:
    kinds = {}
    for name, cells in table.columns.items():
        told = table.kinds.get(name)  # where the form of the table says it
        kind = told or kind_of(name)
        by_name = kind in _GUESSED and (kind in (name, "text") or any(map(_FILE.search, cells)))
        if kind and name not in others and (told or by_name):
            kinds[name] = kind
    return kinds

"""What the readers of media share: the content of a file, checked before a decoder sees it."""

from __future__ import annotations

from mmtrain.contracts import Cell
from mmtrain.largefile import Content


def require_order(cell: Cell) -> None:
    """Raises a ValueError where one of several pictures is blank and a later one is not: each would move up by one."""
    if isinstance(cell, tuple):
        count = len(cell) - cell.count(None)
        if None in cell[:count]:
            raise ValueError(
                f"picture {cell.index(None) + 1} of {len(cell)} is blank, and the boxes of later ones would go to the "
                "pictures after theirs"
            )


def content(cell: Cell, *, max_bytes: int) -> bytes:
    """The bytes of a media cell; errors as of `measured`."""
    return measured(cell, max_bytes=max_bytes)[:]


def measured(cell: Cell, *, max_bytes: int) -> Content:
    """The content of a media cell, of a large file not read yet.

    Raises:
        ValueError: The cell is text, empty, or longer than `max_bytes`.
    """
    if isinstance(cell, str):
        raise ValueError(f"expected the content of a file, got the text {cell[:40]!r}")
    if isinstance(cell, tuple):
        raise ValueError(f"expected the content of one file, got {len(cell)} columns")
    if not cell:
        raise ValueError("the file is empty")
    if len(cell) > max_bytes:
        raise ValueError(f"the file has {len(cell):,} bytes, more than `max_bytes` (={max_bytes:,})")
    return cell

"""What the readers of media share: the content of a file, checked before a decoder sees it."""

from __future__ import annotations

from mmtrain.contracts import Cell
from mmtrain.largefile import Content


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

"""A file that is there whole or as it was, however many threads, processes and hosts read and write it."""

from __future__ import annotations

import uuid
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Writes a text as UTF-8 to a draft beside the file, under a name of its own, which then takes the file's place.

    Raises:
        OSError: It cannot be written; the file is as it was, and no draft is left.
    """
    draft = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise

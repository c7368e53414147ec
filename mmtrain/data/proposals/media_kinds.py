"""Tells kinds of media apart by the first bytes of a file.

The signatures are those of the formats' own specifications, as collected in https://www.garykessler.net/library/magic.html.
"""

from __future__ import annotations

import re
from typing import NamedTuple

HEAD = 16  # bytes that `kind_of_bytes` looks at

_SIGNATURES = (  # what a file begins with
    (rb"\x89PNG\r\n\x1a\n", "image", "PNG"),
    (rb"\xff\xd8\xff", "image", "JPEG"),
    (rb"GIF8[79]a", "image", "GIF"),
    (rb"RIFF....WEBP", "image", "WebP"),
    (rb"BM", "image", "BMP"),
    (rb"RIFF....WAVE", "audio", "WAV"),
    (rb"fLaC", "audio", "FLAC"),
    (rb"OggS", "audio", "Ogg"),
    (rb"ID3|\xff[\xe2-\xe7\xf2-\xff]", "audio", "MP3"),
    (rb"....ftyp", "video", "MP4"),
    (rb"\x1aE\xdf\xa3", "video", "Matroska"),
    (rb"RIFF....AVI ", "video", "AVI"),
    (rb"\x93NUMPY", "features", "NPY"),
    (rb"PK\x03\x04", "features", "NPZ"),
)


class Media(NamedTuple):
    """A kind of media and the format of the file."""

    kind: str
    format: str


def kind_of_bytes(head: bytes) -> Media | None:
    """What a file that begins so is; None where no signature fits."""
    fits = (Media(kind, name) for start, kind, name in _SIGNATURES if re.match(start, head, re.DOTALL))
    return next(fits, None)

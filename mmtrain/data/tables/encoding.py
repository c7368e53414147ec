"""The encoding of a table in text: the whole file is checked first, so that a bad byte is told with its place.

Nothing is guessed and nothing replaced: where bytes do not fit the encoding that was asked for, the message names one
that they fit and shows how a cell would read.
"""

from __future__ import annotations

import codecs
from pathlib import Path

from mmtrain.errors import ConfigError, DataError

_NO_PLAIN_TEXT = {"charmap", "idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"}
_CHANCE = 10  # characters from which on text in another encoding is no longer UTF-8 by chance, as some words are
_PIECE = 2**20  # bytes that are decoded at a time


def codec(encoding: str) -> str:
    """Python's name of an encoding of plain text; that of UTF-8 accepts a byte order mark.

    Raises:
        ConfigError: Python knows none of this name, or it is one in which plain ASCII means something else.
    """
    try:
        name = codecs.lookup(encoding).name
        known = name not in _NO_PLAIN_TEXT and bool("a".encode(name))
    except (LookupError, ValueError):  # also for hex, base64 and the like, which are none of text
        known = False
    if not known:
        raise ConfigError(
            f"`dataset.encoding` (={encoding}) is no text encoding; such are utf-8, gb18030, utf-16, cp1252."
        )
    return "utf-8-sig" if name == "utf-8" else name


def check_text(path: Path, name: str) -> None:
    """Decodes a whole file and keeps nothing of it.

    Args:
        path: The file.
        name: As `codec` gives it.

    Raises:
        DataError: It cannot be opened, a byte does not fit, or it holds a NUL; names the line and the offset.
    """
    try:
        with path.open("rb") as file:
            if name == "utf-8-sig" and file.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                raise DataError(f"{path} is UTF-16; save it as UTF-8, or set `dataset.encoding=utf-16`.")
            decoder, utf8 = codecs.getincrementaldecoder(name)(), codecs.getincrementaldecoder("utf-8")()
            others: int | None = None if name == "utf-8-sig" else 0  # characters beyond ASCII; None: it is not UTF-8
            while piece := file.read(_PIECE):
                if "\0" in decoder.decode(piece):
                    raise _nul(path, name)
                if others is not None:
                    others = _count(utf8, piece, others)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise _misfit(path, name) from None
    except OSError as error:
        raise DataError(f"cannot read the table {path}: {error.strerror}; check `dataset.path`.") from None
    if others is not None and others >= _CHANCE and not utf8.getstate()[0]:
        # GB18030 and the one-byte encodings take nearly everything, so that UTF-8 would be read as other characters.
        raise DataError(f"{path} is UTF-8, not {name}; leave `dataset.encoding` out.")


def _count(utf8: codecs.IncrementalDecoder, piece: bytes, before: int) -> int | None:
    try:
        text = utf8.decode(piece)
    except UnicodeDecodeError:
        return None
    return before + len(text) - len(text.encode("ascii", "ignore"))


def _nul(path: Path, name: str) -> DataError:
    before = path.read_bytes().decode(name).partition("\0")[0]
    offset = len(before.encode(name.removesuffix("-sig")))
    return DataError(f"{path}:{before.count(chr(10)) + 1}: a NUL byte at offset {offset}; is this a table?")


def _misfit(path: Path, name: str) -> DataError:
    """The file is read anew, whole: in pieces, not every decoder tells where it stands."""
    raw = path.read_bytes()
    try:
        raw.decode(name)
    except UnicodeDecodeError as error:
        at, reason = error.start, error.reason
    else:
        return DataError(f"{path} has changed while it was read.")
    line = raw[:at].count(b"\n") + 1
    asked = "UTF-8" if name == "utf-8-sig" else name
    likely = _likely(raw)
    if likely is None:
        advice = f"({reason}); save the table as UTF-8, or name its encoding with `dataset.encoding`"
    else:
        start = raw.rfind(b"\n", 0, at) + 1
        shown = raw[start : raw.find(b"\n", at) if b"\n" in raw[at:] else None].decode(likely).strip()
        advice = f"but {likely} fits and reads {shown[:40]!r} there; if that is right, set `dataset.encoding={likely}`"
    return DataError(f"{path}:{line}: byte 0x{raw[at]:02x} at offset {at} is not {asked}, {advice}.")


def _likely(raw: bytes) -> str | None:
    """An encoding that takes all of the bytes: UTF-8, one of East Asia, else that of Windows in Western Europe.

    Those of East Asia take much that is none of theirs. In text that is, most bytes above 0x7f come in pairs.
    """
    high = len(raw.translate(None, bytes(range(128))))
    for name in ("utf-8", "gb18030", "big5", "shift_jis", "euc_kr", "cp1252", "latin-1"):
        try:
            text = raw.decode(name)
        except UnicodeDecodeError:
            continue
        foreign = len(text) - len(text.encode("ascii", "ignore"))
        if name in ("utf-8", "cp1252", "latin-1") or foreign <= 0.6 * high:
            return name
    return None

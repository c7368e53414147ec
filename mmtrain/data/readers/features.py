"""Feature reader: arrays of numbers that other programs have stored, .npy and .npz, never unpickled.

The header is read by NumPy's own parser and held against the bytes that are there before anything is allocated.
Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
"""

from __future__ import annotations

import io
import math
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from typing import Annotated

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor

from mmtrain.contracts import Cell, Range, SignalSpec
from mmtrain.data.readers.media import content

_BROKEN_HEADER = (ValueError, SyntaxError, TypeError, KeyError, OverflowError, RecursionError, tokenize.TokenError)
# What zipfile and zlib raise over an archive that is damaged, encrypted or packed in a way they do not know.
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError)


class FeatureReader:
    """Reads an array as float32: [D], or [T,D] with T at most `max_length`. The first training array says which.

    Args:
        name: The modality's name.
        max_length: Steps kept of a [T,D] array, from its start.
        key: Name of the array in an .npz file; None: there must be only one.
        max_bytes: A file with more, or an array that unpacks to more, is refused.
    """

    kind = "features"

    def __init__(
        self,
        name: str,
        *,
        max_length: Annotated[int, Range(2, 1_000_000)] = 512,
        key: str | None = None,
        max_bytes: Annotated[int, Range(1)] = 500_000_000,
    ) -> None:
        self.name = name
        self.max_length = max_length
        self.key = key
        self.max_bytes = max_bytes
        self._spec: SignalSpec | None = None

    def fit(self, cells: Iterable[Cell]) -> SignalSpec:
        """Takes the number of axes and D from the first training array; the others are held against it when read.

        Raises:
            ValueError: The first one cannot be read.
        """
        first = next(iter(cells), None)
        if first is None:
            raise ValueError(f"no training array tells the size of `{self.name}`")
        array = self._array(first)
        length = 1 if array.ndim == 1 else self.max_length
        self._spec = SignalSpec(self.name, self.kind, shape=array.shape[-1:], length=length)
        return self._spec

    def restore(self, spec: SignalSpec) -> None:
        """Takes D and the longest array of `spec`.

        Raises:
            ValueError: Its shape is not [D].
        """
        if len(spec.shape) != 1:
            raise ValueError(f"shape {list(spec.shape)} is not [D]")
        self._spec = spec

    def decode(self, cell: Cell) -> Tensor:
        """The array: [D], or the first `max_length` steps of [T,D]; float32.

        Raises:
            ValueError: No .npy or .npz of plain numbers, a truncated one, one of another shape than in training, or
                values that are not finite.
        """
        if self._spec is None:
            raise ValueError("the reader has not been fitted")
        array = self._array(cell)
        wanted = 1 if self._spec.length == 1 else 2
        if array.ndim != wanted or array.shape[-1:] != self._spec.shape:
            expected = f"[{self._spec.shape[0]}]" if wanted == 1 else f"[T, {self._spec.shape[0]}]"
            raise ValueError(f"the array is {list(array.shape)}, the first one of training {expected}")
        if wanted == 2:
            array = array[: self._spec.length]
        with np.errstate(over="ignore"):
            values = torch.from_numpy(np.array(array, dtype=np.float32, order="C"))
        if not bool(values.isfinite().all()):
            raise ValueError("the array holds values that are nan, infinite or beyond float32")
        return values

    def finish(self, values: Tensor) -> Tensor:
        """The array as it is."""
        return values

    def _array(self, cell: Cell) -> NDArray[np.generic]:
        data = content(cell, max_bytes=self.max_bytes)
        return _npy(self._member(data) if data[:2] == b"PK" else data)

    def _member(self, data: bytes) -> bytes:
        """The .npy file inside of an .npz file."""
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                members = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
                key = self.key if self.key is not None else next(iter(members), None)
                if key is None or key not in members or (self.key is None and len(members) > 1):
                    found = ", ".join(members)[:200] or "none"
                    raise LookupError(f"expected one array, or that of `reader.{self.name}.key`; found {found}")
                size, most = members[key].file_size, self.max_bytes
                if size > most:
                    raise LookupError(f"array '{key}' unpacks to {size:,} bytes, over `max_bytes` (={most:,})")
                with archive.open(members[key]) as file:
                    return file.read(size)
        except LookupError as error:
            raise ValueError(error.args[0]) from None
        except _BROKEN_ZIP as error:
            raise ValueError(f"damaged .npz: {error}") from None


def _npy(data: bytes) -> NDArray[np.generic]:
    """The array [D] or [T,D] of an .npy file, a view of its bytes."""
    file = io.BytesIO(data)
    if not data.startswith(npy.MAGIC_PREFIX):
        raise ValueError(f"no .npy or .npz file: it begins with {data[:8]!r}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a header as Python 2 wrote it
            version = npy.read_magic(file)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, dtype = read(file)
    except _BROKEN_HEADER as error:
        raise ValueError(f"damaged .npy header: {' '.join(str(error).split())[:120]}") from None
    if dtype.kind not in "fiu":
        raise ValueError(f"the array holds {dtype}, not numbers; store it as float32")
    if len(shape) not in (1, 2) or min(shape) < 1:
        raise ValueError(f"the array is {list(shape)}, expected [D] or [T, D] with some numbers in it")
    count = math.prod(shape)
    promised, there = count * dtype.itemsize, len(data) - file.tell()
    if promised > there:
        raise ValueError(f"truncated: the header promises {promised:,} bytes of numbers, {there:,} are there")
    flat = np.frombuffer(data, dtype, count, file.tell())
    return flat.reshape(shape, order="F" if fortran else "C")

"""Stored arrays become floats of the size that training had; whatever else a file may hold is refused in one line."""

import io
import struct
import zipfile

import numpy as np
import pytest
import torch

from mmtrain.contracts import SignalSpec
from mmtrain.data.readers.features import FeatureReader
from tests.components import read


def npy(array: object, **options: object) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def header(text: str, version: bytes = b"\x01\x00") -> bytes:
    """A file of a header alone."""
    size = struct.pack("<H" if version == b"\x01\x00" else "<I", len(text))
    return b"\x93NUMPY" + version + size + text.encode()


def fitted(first: bytes, **arguments: object) -> FeatureReader:
    reader = FeatureReader("features", **arguments)
    reader.fit([first])
    return reader


@pytest.mark.parametrize("dtype", ["f2", "<f4", ">f4", "f8", "i1", "u1", "<i8", ">u2"])
def test_numbers_of_every_kind_arrive_as_floats(dtype: str):
    data = npy(np.array([1, 2, 3], dtype))

    values = read(fitted(data), data)

    assert values.dtype == torch.float32
    assert values.tolist() == [1, 2, 3]


def test_the_first_array_says_whether_there_is_time():
    assert FeatureReader("f").fit([npy(np.ones(5))]) == SignalSpec("f", "features", shape=(5,), length=1)
    assert FeatureReader("f", max_length=9).fit([npy(np.ones((2, 5)))]) == SignalSpec("f", "features", (5,), 9)


@pytest.mark.parametrize("order", ["C", "F"])
def test_time_stays_first_and_is_cut_at_max_length(order: str):
    """Either order in memory; three steps of two numbers, of which two are kept."""
    data = npy(np.array([[1, 2], [3, 4], [5, 6]], order=order))

    assert read(fitted(data, max_length=2), data).tolist() == [[1, 2], [3, 4]]


def test_an_npz_file_gives_its_one_array_or_the_one_that_is_named():
    one, two = npz(a=np.ones(2)), npz(a=np.ones(2), b=np.zeros(2))

    assert read(fitted(one), one).tolist() == [1, 1]
    assert read(fitted(two, key="b"), two).tolist() == [0, 0]


def test_a_restored_reader_reads_alike():
    data = npy(np.ones((4, 3)))
    reader = FeatureReader("features", max_length=100)
    reader.restore(SignalSpec("features", "features", shape=(3,), length=2))

    assert read(reader, data).tolist() == [[1, 1, 1], [1, 1, 1]]
    with pytest.raises(ValueError, match=r"shape \[3, 3\] is not \[D\]"):
        reader.restore(SignalSpec("features", "features", shape=(3, 3)))


BOMB = io.BytesIO()
with zipfile.ZipFile(BOMB, "w", zipfile.ZIP_DEFLATED) as _archive:
    _archive.writestr("a.npy", bytes(3_000_000))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"1.0,2.0\n", r"no .npy or .npz file: it begins with b'1\.0,2\.0\\n'"),
        (npy(np.array([{}], dtype=object), allow_pickle=True), "the array holds object, not numbers"),
        (npy(np.array(["a"])), "the array holds <U1, not numbers"),
        (npy(np.array([1j])), "the array holds complex128"),
        (npy(np.array([("x", 1)], dtype=[("a", "O"), ("b", "i4")]), allow_pickle=True), "not numbers; store it as"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (2500000000,)}"), "promises 10,000,000,000 bytes"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}") + bytes(8), r"the array is \[-1\]"),
        (npy(np.ones(100))[:-1], "truncated: the header promises 800 bytes of numbers, 799 are there"),
        (npy(np.ones(100))[:20], "damaged .npy header"),
        (header("{'descr': 1"), "damaged .npy header"),
        (header("__import__('os').abort()"), "damaged .npy header"),
        (header("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}" + " " * 20_000), "damaged .npy header"),
        (header("(" * 9000), "damaged .npy header"),
        (npy(np.ones((2, 2, 2))), r"the array is \[2, 2, 2\], expected \[D\] or \[T, D\]"),
        (npy(np.float32(1)), r"the array is \[\], expected"),
        (npy(np.ones((0, 3))), r"the array is \[0, 3\], expected"),
        (npy(np.ones((3, 3))), r"the array is \[3, 3\], the first one of training \[3\]"),
        (npy(np.ones(4)), r"the array is \[4\], the first one of training \[3\]"),
        (npy(np.array([1, np.nan, 0])), "nan, infinite or beyond float32"),
        (npy(np.array([1, 1e300, 0])), "nan, infinite or beyond float32"),
        (npz(a=np.ones(3), b=np.ones(3)), "expected one array, or that of `reader.features.key`; found a, b"),
        (npz(a=np.ones(3))[:60], "damaged .npz"),
        (BOMB.getvalue(), r"array 'a' unpacks to 3,000,000 bytes, over `max_bytes` \(=1,000,000\)"),
        (bytes(1_000_001), "the file has 1,000,001 bytes"),
        ((npy(np.ones(3)),), "expected the content of one file, got 1 columns"),
        ("a.npy", "expected the content of a file, got the text"),
    ],
)
def test_what_is_no_array_of_that_size_is_refused(data: bytes, message: str):
    reader = fitted(npy(np.ones(3)), max_bytes=1_000_000)

    with pytest.raises(ValueError, match=message) as caught:
        reader.decode(data)
    assert "\n" not in str(caught.value)

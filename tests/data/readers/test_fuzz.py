"""Damaged files of every format, each decoder in a process of its own: a sample or one line, and never a crash."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from mmtrain.data.readers.audio import AudioReader
from mmtrain.data.readers.features import FeatureReader
from mmtrain.data.readers.image import ImageReader
from mmtrain.data.readers.video import VideoReader
from mmtrain.protocols import Reader
from tests.videos import encoded

MUTATED = 2000
PICTURES, SOUNDS = ("png", "jpeg", "webp", "bmp", "gif"), ("wav", "flac", "ogg", "mp3")
VIDEOS = {"mp4": ("mp4", "mpeg4"), "mkv": ("matroska", "libx264"), "webm": ("webm", "libvpx"), "avi": ("avi", "mpeg4")}
FEATURES = ("npy", "npz")


def sample(form: str, folder: Path) -> bytes:
    """A small sound file of the format."""
    path = folder / f"a.{form}"
    draw = np.random.default_rng(0)
    if form in PICTURES:
        Image.fromarray(draw.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(path)
    elif form in SOUNDS:
        soundfile.write(path, draw.uniform(-0.5, 0.5, 2000), 8000)
    elif form in VIDEOS:
        path.write_bytes(encoded(*VIDEOS[form]))
    else:
        values = draw.standard_normal((5, 3)).astype(np.float32)
        np.save(path, values) if form == "npy" else np.savez_compressed(path, values)
    return path.read_bytes()


def fitted(form: str, whole: bytes) -> Reader:
    """The reader of the format, which has seen the undamaged file."""
    if form in PICTURES:
        return ImageReader("image", size=8)
    if form in SOUNDS:
        return AudioReader("audio", sample_rate=8000)
    reader = VideoReader("video", num_frames=2, size=8) if form in VIDEOS else FeatureReader("features")
    reader.fit([whole])
    return reader


def mutated(whole: bytes, draw: random.Random) -> bytes:
    """Some bytes changed, a part cut out or put in twice, or the end gone."""
    data = bytearray(whole)
    for _ in range(draw.choice((1, 3, 10))):
        data[draw.randrange(len(data))] = draw.choice((0, 255, draw.randrange(256)))
    start, end = sorted(draw.randrange(len(data)) for _ in range(2))
    return bytes(draw.choice((data, data[:end], data[:start] + data[end:], data[:end] + data[start:])))


def decode_all(form: str, path: str) -> None:
    """What the process does: ends with a traceback at any error but the one that names a bad sample."""
    whole, draw = Path(path).read_bytes(), random.Random(form)
    reader, read = fitted(form, whole), 0
    for _ in range(MUTATED):
        try:
            reader.finish(reader.decode(mutated(whole, draw)))
            read += 1
        except ValueError as error:
            if "\n" in str(error):
                raise AssertionError(f"more than one line: {error}") from None
    print(read)


@pytest.mark.slow
@pytest.mark.parametrize("form", [*PICTURES, *SOUNDS, *VIDEOS, *FEATURES])
def test_2000_damaged_files_give_samples_or_one_line(form: str, tmp_path: Path) -> None:
    """A decoder that crashed would end the process with a signal."""
    (tmp_path / "whole").write_bytes(sample(form, tmp_path))
    ended = subprocess.run(
        [sys.executable, "-m", "tests.data.readers.test_fuzz", form, str(tmp_path / "whole")],
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 0, ended.stderr[-2000:]
    assert 0 <= int(ended.stdout) < MUTATED  # else nothing was damaged


if __name__ == "__main__":
    decode_all(*sys.argv[1:])

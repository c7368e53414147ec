"""The script that joins short sounds to strings: nothing of a held-out speaker, or of a test sound, is trained on."""

from __future__ import annotations

import csv
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "scripts"))

import strings_of_sounds

SPLITS = ("train", "train", "train", "test")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two speakers, twelve sounds each of 80 samples that all hold the sound's number."""
    lines = ["audio,text,speaker,split"]
    for number in range(24):
        with wave.open(str(tmp_path / f"{number}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(1000)
            file.writeframes(np.full(80, number + 1, "<i2").tobytes())
        lines.append(f"{number}.wav,w{number + 1},{'ann' if number < 12 else 'bob'},{SPLITS[number % 4]}")
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("held_out", [None, "bob"])
def test_strings_say_what_their_sounds_say(table: Path, tmp_path: Path, held_out: str | None) -> None:
    options = ["rows=40", "low=2", "high=3", *([] if held_out is None else [f"held_out={held_out}"])]
    assert strings_of_sounds.main([str(table), str(tmp_path / "out"), *options]) == 0
    with (tmp_path / "out" / "strings.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    assert [row["split"] for row in rows] == ["train"] * 32 + ["val"] * 2 + ["test"] * 6
    used: dict[str, set[int]] = {"train": set(), "val": set(), "test": set()}
    for row in rows:
        with wave.open(str(tmp_path / "out" / row["audio"])) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        words = [int(word.removeprefix("w")) for word in row["text"].split()]
        loud = samples[np.flatnonzero(np.diff(np.concatenate([[0], samples])) > 0)]
        assert loud.tolist() == words
        assert (row["speaker"] == "ann") == (max(words) <= 12)
        assert held_out is None or (row["speaker"] == "bob") == (row["split"] == "test")
        used[row["split"]] |= set(words)
    assert not used["train"] & used["val"] | used["train"] & used["test"] | used["val"] & used["test"]
    assert held_out is not None or all((word - 1) % 4 == 3 for word in used["test"])


def test_a_wrong_command_line_tells_how_it_goes(capsys: pytest.CaptureFixture[str]) -> None:
    assert strings_of_sounds.main(["t.csv"]) == 2
    assert "strings_of_sounds.py digits/metadata.csv" in capsys.readouterr().out

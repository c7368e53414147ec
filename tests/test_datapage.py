"""The page of a data set: what it counts, what it shows, and that no cell can become markup."""

import base64
import io
import wave
from collections import Counter

import pytest
import torch
from PIL import Image

from mmtrain import datapage, survey
from mmtrain.build import build
from mmtrain.contracts import SignalSpec
from mmtrain.data.dataset import Data
from mmtrain.data.targets.classes import ClassTarget
from mmtrain.datapage import class_rows, histogram, picture, sound, spread, words
from tests import tiny
from tests.data.conftest import MemorySource
from tests.test_page import HOSTILE, Reading
from tests.test_survey import data


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """That of the built-in data."""
    folder = tmp_path_factory.mktemp("datapage")
    made = build(tiny.config(folder)).data
    datapage.write(folder / "data.html", made, survey.take(made))
    return (folder / "data.html").read_text(encoding="utf-8")


def test_rows_and_classes_are_counted(page):
    text = Reading(page).text

    assert "216 rows" in text
    assert "label: 6 classes" in text
    assert "Splits from built in, balanced" in text


def test_every_modality_has_examples(page):
    """Twelve rows, each with its picture, its sound and its sentence."""
    tags = Counter(Reading(page).tags)

    assert (tags["img"], tags["audio"]) == (12, 12)
    assert page.count('<p class="small">text</p>'.replace("text", "<bdi>text</bdi>")) == 12


def test_the_page_needs_nothing_but_itself(page):
    """No address but those of data inside the file, no script, and a policy that forbids both."""
    assert "default-src 'none'" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "script" not in Reading(page).tags
    assert page.count('src="') == page.count('src="data:') == 24


def test_cells_cannot_become_markup(tmp_path):
    """Texts, labels, ids and reasons are shown as they are written."""
    rows = [{"text": hostile, "size": b"1", "label": hostile} for hostile in HOSTILE]
    rows.append({"text": "a", "size": HOSTILE[0].encode(), "label": HOSTILE[1], "split": "val"})
    made = data(rows)

    datapage.write(tmp_path / "data.html", made, survey.take(made))
    reading = Reading((tmp_path / "data.html").read_text(encoding="utf-8"))

    assert not {"script", "img"} & set(reading.tags)
    assert "onerror" not in reading.attributes
    assert all(hostile in reading.text for hostile in HOSTILE)


def test_a_histogram_counts_whole_steps():
    """Bars of one step each: three samples of 2 steps, one of 4."""
    bars = histogram([2, 2, 2, 4], SignalSpec("text", "text", length=9))

    assert [(bar.label, bar.number, bar.percent) for bar in bars] == [
        ("2", 3, 100.0),
        ("3", 0, 0.0),
        ("4", 1, pytest.approx(100 / 3)),
    ]


def test_a_histogram_of_sounds_has_seconds():
    bars = histogram([100, 150, 390, 400], SignalSpec("audio", "audio", length=1000, sample_rate=1000))

    assert sum(bar.number for bar in bars) == 4
    assert (bars[0].label, bars[-1].number) == ("0.1 – 0.15", 2)


def test_the_commonest_class_comes_first():
    rows = class_rows({"train": Counter(a=2, b=5), "val": Counter(a=4)})

    assert rows == [("a", [2, 4], 100.0), ("b", [5, 0], pytest.approx(500 / 6))]


def test_examples_are_spread_over_the_classes():
    """One of each before a second of any."""
    assert spread([10, 11, 12, 13], ["x", "x", "y", "x"]) == [10, 12, 11, 13]
    assert len(spread(range(100), ["x"] * 100)) == 12


def test_pictures_and_sounds_are_those_of_the_sample():
    values = torch.arange(12, dtype=torch.uint8).view(3, 2, 2)
    shown = Image.open(io.BytesIO(base64.b64decode(picture(values).partition(",")[2])))
    heard = io.BytesIO(base64.b64decode(sound(torch.tensor([0.5, -2.0]), 800).partition(",")[2]))

    assert shown.getpixel((1, 0)) == (1, 5, 9)
    with wave.open(heard) as file:
        assert (file.getframerate(), file.readframes(2)) == (800, (16384).to_bytes(2, "little") + b"\x01\x80")


class Film:
    """Reads eight grey frames of 2 x 2 pixels."""

    kind = "film"

    def __init__(self, name):
        self.name = name

    def fit(self, cells):
        return SignalSpec(self.name, self.kind, shape=(1, 2, 2), length=8)

    def decode(self, cell):
        return torch.zeros(8, 1, 2, 2, dtype=torch.uint8)

    def finish(self, values):
        return values.float()


def test_of_a_video_some_frames_are_shown():
    """Six of eight, side by side."""
    source = MemorySource([{"film": b"", "label": label} for label in "xy"], {"film": "film"})
    made = Data.prepare(source, readers={"film": Film}, modalities=None, targets={"label": ClassTarget("label")})

    assert [len(row.pictures["film"]) for row in datapage.examples(made)] == [6, 6]


def test_other_cells_are_told_in_words():
    assert words(("1.5", None, "red"), torch.zeros(3)) == "1.5 · – · red"
    assert words(b"\x93NUMPY", torch.zeros(4, 2)) == "4 x 2 numbers, float32"
    assert len(words("a" * 1000, torch.zeros(1))) == 302

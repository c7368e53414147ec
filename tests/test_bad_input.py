"""Bad input, from the command line to the exit code: one short message that says where, what was found and what to do.

Runs are tiny and in this process. Equal command lines are composed once, since Hydra takes most of the time.
"""

from __future__ import annotations

import errno
import functools
import io
import json
import os
import re
import shutil
import struct
import sys
import wave
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hydra._internal.hydra import Hydra
from hydra.types import RunMode
from PIL import Image

from mmtrain import check, checkpoint, compose, loop, paths
from mmtrain.cli import main
from mmtrain.record import read_rows
from mmtrain.runlock import locked

TINY = (
    "dataset=table",
    "dataset.path=t.csv",
    "encoder/text=bag_of_words",
    "encoder.image.channels=[4,8]",
    "reader.image.size=8",
    "reader.audio.sample_rate=4000",
    "reader.audio.seconds=0.1",
    "width=16",
    "trainer.batch_size=4",
    "trainer.epochs=1",
    "trainer.tensorboard=false",
    "trainer.log_every_steps=1",
    "num_threads=1",
)
"""Two steps on the table of `write`: 8 rows train, 2 validate, 2 test."""

ROWS = 12
SPLIT = ["train"] * 8 + ["val"] * 2 + ["test"] * 2
Told = tuple[int, str, str]


@pytest.fixture(scope="module", autouse=True)
def _composed_once():
    """Equal command lines compose to equal configs, and nothing changes one."""
    patch = pytest.MonkeyPatch()
    real = compose.composed
    cached = functools.cache(lambda overrides, config_dir: real(overrides, config_dir))
    patch.setattr(compose, "composed", lambda line, config_dir=None: cached(tuple(line), config_dir))
    patch.setattr(Hydra, "get_mode", lambda *_, **__: RunMode.RUN)  # -m says otherwise; else it composes to find out
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    """A folder with the pictures 0.png to 3.png and the sounds 0.wav to 3.wav; `main` appends it to the path."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    for number in range(4):
        Path(f"{number}.png").write_bytes(png(number))
        Path(f"{number}.wav").write_bytes(wav(number))


@pytest.fixture
def mmtrain(capsys) -> Callable[..., Told]:
    """`mmtrain(...)`: one command line; returns exit code, stdout and stderr, and holds every error to the form."""

    def run(*arguments: str) -> Told:
        capsys.readouterr()
        code = main(arguments)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        assert "(unexpected" not in err
        assert len(err.splitlines()) <= 16
        assert all(line.startswith("error: ") and len(line) < 600 for line in err.splitlines()), err
        assert (code == 0) == (err == ""), err
        return code, out, err

    return run


@pytest.fixture
def train(mmtrain) -> Callable[..., Told]:
    """`train(...)`: the tiny run with overrides."""
    return lambda *overrides: mmtrain(*TINY, *overrides)


def png(seed: int, **options: object) -> bytes:
    """A picture of 16 x 16 random pixels, in another format with `format=`, in another mode with `mode=`."""
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    file = io.BytesIO()
    mode = str(options.get("mode", "RGB"))
    image = Image.fromarray(pixels).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    image.save(file, str(options.get("format", "PNG")))
    return file.getvalue()


def wav(seed: int, *, frames: int = 400, channels: int = 1, width: int = 2, rate: int = 4000) -> bytes:
    """Noise of 0.1 s."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(width)
        sound.setframerate(rate)
        sound.writeframes(np.random.default_rng(seed).bytes(frames * channels * width))
    return file.getvalue()


def float_wav(samples: Sequence[float]) -> bytes:
    data = struct.pack(f"<{len(samples)}f", *samples)
    form = struct.pack("<HHIIHH", 3, 1, 4000, 16000, 4, 32)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def columns(**changed: Sequence[str] | None) -> Mapping[str, Sequence[str]]:
    """Columns of the tiny table; None leaves one out."""
    cells: dict[str, Sequence[str] | None] = {
        "text": ["red fish", "blue fish"] * 6,
        "image": [f"{row % 4}.png" for row in range(ROWS)],
        "audio": [f"{row % 4}.wav" for row in range(ROWS)],
        "label": ["x", "y"] * 6,
        "split": SPLIT,
    }
    return {name: found for name, found in {**cells, **changed}.items() if found is not None}


def write(**changed: Sequence[str] | None) -> None:
    """Writes t.csv."""
    table = columns(**changed)
    lines = [",".join(table), *(",".join(row) for row in zip(*table.values(), strict=True))]
    Path("t.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")


def only_run() -> Path:
    return next(path for path in sorted(Path("outputs/train").iterdir()) if path.is_dir())


def error_of(folder: Path) -> dict[str, object]:
    error: dict[str, object] = json.loads((folder / "error.json").read_text(encoding="utf-8"))
    return error


# ---------------------------------------------------------------------------------------------- the command line


FAULTS = {
    "fusion=atention": "Did you mean `attention`?",
    "encoder/smell=resnet18": "`encoder/smell`: no such group",
    "trianer.epochs=1": "`trianer`: no such key. Did you mean `trainer`?",
    "+trainer.foo=1": "`trainer.foo`: no such key",
    "++foo=1": "`foo`: no such key",
    "optimizer.lr=-1": "`optimizer.lr`: found -1, expected float, above 0",
    "optimizer.weight_decay=nan": "`optimizer.weight_decay`: found nan, expected float, at least 0",
    "trainer.epochs=0": "`trainer.epochs`: found 0, expected int, at least 1",
    "trainer.batch_size=many": "`trainer.batch_size`: found 'many', expected int, at least 1",
    "task.dropout=1.5": "`task.dropout`: found 1.5, expected float, from 0 to 1",
    "schedule.warmup=2": "`schedule.warmup`: found 2, expected float, from 0 to 1",
    "trainer.num_workers=-1": "`trainer.num_workers`: found -1, expected int, from 0",
    "seed=18446744073709551616": "`seed`: found 18446744073709551616, expected int, from 0",
    "encoder.image.channels=[0]": "`encoder.image.channels`: found [0], expected list of int, at least 1",
    "modalities=[]": "`modalities`: is empty; name at least one, or null",
    "name=../../evil": "`name`: found '../../evil', expected letters, digits",
}


@pytest.mark.parametrize("verb", [["check"], []], ids=["check", "train"])
def test_all_faults_of_a_command_line_are_told_at_once_and_nothing_is_made(mmtrain, verb):
    """Keys, options, types, ranges, and what does not go together: a line each."""
    before = sorted(os.listdir())

    code, _, err = mmtrain(*verb, *FAULTS)

    assert code == 2
    assert [said for said in FAULTS.values() if said not in err] == []
    assert len(err.splitlines()) == len(FAULTS)
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (
            "dataset: {split_names: {on: test, off: train}}",
            "`dataset.split_names`: found {True: 'test', False: 'train'}",
        ),
        ("task: {rejected: [no, maybe]}", "`task.rejected`: found [False, 'maybe']"),
    ],
)
def test_truth_values_of_yaml_are_not_taken_for_words(line: str, found: str, tmp_path: Path):
    """A label that is written yes or no stays text only in quotes, and the message says so."""
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text(
        f"# @package _global_\ndefaults: [override /dataset: table]\n{line}\n"
    )

    told = "\n".join(check.faults(["experiment=mine", "dataset.path=t.csv"], tmp_path))

    assert found in told
    assert "write 'yes' in quotes where the text is meant." in told
    quoted = line.replace("on:", "'on':").replace("off:", "'off':").replace("[no,", "['no',")
    (tmp_path / "experiment/quoted.yaml").write_text(
        f"# @package _global_\ndefaults: [override /dataset: table]\n{quoted}\n"
    )
    assert check.faults(["experiment=quoted", "dataset.path=t.csv"], tmp_path) == []


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("optimizer.lr=nan", "`optimizer.lr`: found nan, expected float, above 0"),
        ("modalities=text", "`modalities`: found 'text', expected list of str"),
        ("dataset=table", "`dataset.path`: has no default; set it: dataset.path=<str>"),
        ("name=${oc.env:MMTRAIN_CANARY}", "`name` reads the environment"),
        ("name=;", """the shell must leave there: 'name=";"'"""),
        ("name=,", """the shell must leave there: 'name=","'"""),
    ],
)
def test_a_fault_alone_is_one_line(mmtrain, monkeypatch, typed, said):
    monkeypatch.setenv("MMTRAIN_CANARY", "s3cr3t")

    code, _, err = mmtrain(typed)

    assert (code, len(err.splitlines())) == (2, 1)
    assert said in err
    assert "s3cr3t" not in err


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("modalities=[text,imgae]", "no 'imgae' in the data; it has text, image, audio. Did you mean `image`?"),
        ("encoder/images=resnet18", "`encoder/images`: no 'images' in the data; it has text, image, audio. Did you"),
        ("reader/audio_2=default", "`reader/audio_2`: no 'audio_2' in the data"),
        ("share_encoder=[image,image_2]", "`share_encoder`: no 'image_2' in the data"),
        ("trainer.batch_size=1", "`trainer.batch_size` of 1 a part and BatchNorm in the model"),
        ("device=tpu", "`device=tpu` is not one of auto, cpu"),
        ("dataset.val_fraction=0.95", "`dataset`: `val_fraction` (=0.95) and `test_fraction` (=0.1) must leave rows"),
        ("fusion=none", "`fusion`: none does not join the modalities of the data (text, image, audio)"),
        ("task.target=lable", "the task wants the target `lable`; the data has label. Did you mean `label`?"),
    ],
)
def test_a_setting_that_the_data_does_not_bear_out_is_a_fault_of_the_config(mmtrain, typed, said):
    write()

    code, _, err = mmtrain("check", *TINY, typed)

    assert code == 2
    assert said in err


def test_training_refuses_the_same(train):
    write()

    code, _, err = train("encoder/images=resnet18")

    assert code == 2
    assert "Did you mean `encoder/image`?" in err
    assert error_of(only_run())["code"] == 2


# ---------------------------------------------------------------------------------------------- the table


def raw(content: bytes) -> Callable[[], None]:
    def make() -> None:
        Path("t.csv").write_bytes(content)

    return make


def table(**changed: Sequence[str] | None) -> Callable[[], None]:
    return lambda: write(**changed)


TABLES = {
    "no file": (lambda: None, "cannot read the table t.csv: No such file or directory; check `dataset.path`"),
    "0 bytes": (raw(b""), "t.csv is empty; a table has one row a sample"),
    "no rows": (raw(b"text,label\n"), "t.csv has a header (text, label) but no rows"),
    "one row": (raw(b"text,label\na,x\n"), "too few to split at random"),
    "a column twice": (raw(b"text,text,label\na,b,x\n"), "1 column names occur twice: 'text'"),
    "no label": (table(label=None), "no column 'label' (`dataset.target`); columns: text, image, audio, split"),
    "label misspelt": (table(label=None, lable=["x", "y"] * 6), "Did you mean `dataset.target=lable`?"),
    "no modality": (raw(b"caption,label\na,x\nb,y\n"), "no column holds a modality"),
    "blank labels": (table(label=["x", "y"] * 5 + ["", ""]), "2 of 12 rows have no `label`: t.csv:12, t.csv:13"),
    "label in test only": (table(label=["x", "y"] * 5 + ["x", "z"]), "t.csv:13: label 'z' is none of the 2 classes"),
    "one class": (table(label=["x"] * ROWS), "`label` needs two classes at least in the training rows, found only"),
    "an id twice": (table(id=["a", "b"] * 6), "t.csv:4: id 'a' is also on line 2"),
    "an unknown split": (table(split=["train"] * 8 + ["vla"] * 4), "'vla' (4 rows)"),
    "no training rows": (table(split=["test"] * ROWS), "the split column holds no train rows"),
    "Latin-1": (raw("text,label\ncafé,x\n".encode("latin-1")), "t.csv:2: byte 0xe9 at offset 14 is not UTF-8"),
    "UTF-16": (raw("text,label\na,x\n".encode("utf-16")), "t.csv is UTF-16; save it as UTF-8"),
    "a NUL": (raw(b"text,label\na\0,x\n"), "t.csv:2: a NUL byte"),
    "an open quote": (raw(b'text,label\n"a,x\nb,y\n'), "t.csv: the row that starts on line 2"),
    "a cell of 1 MB": (raw(b"text,label\n" + b"a" * 2**20 + b",x\n"), "the row that starts on line 2: field larger"),
    "a cell too many": (raw(b"text,label\na,b,x\n"), "t.csv:2: 3 cells, but the header has 2"),
    "absent everywhere": (table(image=[""] * ROWS), "`image` is missing in all 8 training rows"),
    "absent in training": (table(image=[""] * 8 + ["0.png"] * 4), "`image` is missing in all 8 training rows"),
    "a dot in a name": (table(**{"text.en": ["a"] * ROWS}), "modality 'text.en': the name is also that of a part"),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_table_that_cannot_be_used_is_a_fault_of_the_data(mmtrain, case):
    make, said = TABLES[case]
    make()

    code, _, err = mmtrain("check", *TINY)

    assert code == 3, err
    assert said in err


TAGS, REGRESSION = ("task=tagging",), ("task=regression",)
BOXES, BOX = ("task=detection", "fusion=none", "encoder/image=pyramid"), '"[[""a"",0,0,1,1]]"'
TARGETS = {
    "a box beyond the picture": (BOXES, [BOX, BOX.replace("0,1,1", "0,2,1")] * 6, "2, 1] reaches beyond the picture"),
    "a box turned round": (BOXES, [BOX, BOX.replace("0,0", "1,0").replace("1,1]]", "0,1]]")] * 6, "is turned round"),
    "a box of no area": (BOXES, [BOX] * 11 + [BOX.replace("0,1,1", "0,0,1")], "t.csv:13: box [0, 0, 0, 1] has no area"),
    "boxes of two frames": (BOXES, [BOX] * 11 + ['"[[],[]]"'], "t.csv:13: boxes of 2 frames; those of most training"),
    "no box at all": (BOXES, ["[]"] * ROWS, "`label` has no box in the training rows"),
    "an empty tag": (
        TAGS,
        ["a|b", "a||b"] * 6,
        "t.csv:3, t.csv:5, t.csv:7, t.csv:9, t.csv:11 and 1 more: 'a||b' has an",
    ),
    "a tag in test only": (TAGS, ["a|b"] * 11 + ["c"], "t.csv:13: no training row has the tag 'c' of `label`"),
    "a tag like another": (TAGS, ["cat|b"] * 11 + ["cats"], "of `label`. Did you mean `cat`? 1 such rows;"),
    "rare tags only": ((*TAGS, "task.min_count=9"), ["a", "b"] * 6, "`min_count` (=9) training rows: the commonest"),
    "no JSON": ((*TAGS, "task.separator=json"), ["[]", "a"] * 6, "6 such rows; mend the cells, add training rows"),
    "a unit": (REGRESSION, ["1.5", "1.5 kg"] * 6, "'1.5 kg' is no finite number such as -1.5 or 2e3. 6 such rows"),
    "an infinite number": (REGRESSION, ["1.5"] * 11 + ["1e999"], "t.csv:13: '1e999' is no finite number"),
    "a number beyond float32": (
        REGRESSION,
        ["1", "2"] * 5 + ["1e300"] * 2,
        "'1e300' is out of reach of the training rows",
    ),
    "one number": (REGRESSION, ["2", "2.0"] * 6, "`label` needs two different numbers at least"),
}


@pytest.mark.parametrize("case", TARGETS)
def test_a_target_that_cannot_be_learned_is_a_fault_of_the_data(mmtrain, case):
    options, cells, said = TARGETS[case]
    write(label=cells)

    code, _, err = mmtrain("check", *TINY, "modalities=[text]", *options)

    assert code == 3, err
    assert said in err


def test_targets_that_cannot_be_read_can_be_left_out_and_are_listed(train):
    """Their rows count as having none; the scores are of the others."""
    write(label=["1", "2", "?", "4"] * 3)

    code, out, _ = train("modalities=[text]", "task=regression", "on_bad_sample=skip")

    assert code == 0
    assert "note: 3 rows count as having no `label`; t.csv:4, t.csv:8, t.csv:12: '?' is no finite number" in out


TWO = ("task=multi_task", "+task@task.tasks.a=regression", "+task@task.tasks.b=tagging")
SEVERAL = ("dataset.target=[label,size]", "modalities=[text]")


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        ((), 2, "`task.target` is null, which means the only target of the data; it has label, size"),
        (("task=multi_task",), 2, "`tasks` is empty; add one with +task@task.tasks.<name>=<option>"),
        (("task=multi_task", "+task@task.tasks.a=regression"), 2, "`task.tasks.a.target` is null"),
        (
            (*TWO, "task.tasks.a.target=size", "task.tasks.b.target=size"),
            2,
            "`task.tasks`: two tasks read the target `size`, and not in the same way",
        ),
        (
            ("task=regression", "task.target=[label,size]"),
            3,
            "2 of 12 rows have no `label` or `size`: t.csv:2, t.csv:8; fill the cells in",
        ),
    ],
)
def test_several_targets_are_named_and_read_in_one_way(mmtrain, typed, code, said):
    """A row may lack some of them, and not all."""
    write(label=["", "1", "2"] * 4, size=["" if code == 3 else "2", "3", "4", "5", "6", "7"] * 2)

    found, _, err = mmtrain("check", *TINY, *SEVERAL, *typed)

    assert (found, said in err) == (code, True), err


def test_training_tells_the_same_and_leaves_a_note_in_the_run(train):
    write(label=["x", "y"] * 5 + ["x", "z"])

    code, _, err = train()

    assert code == 3
    assert "t.csv:13: label 'z'" in err
    assert error_of(only_run()) == {"code": 3, "message": err.removeprefix("error: ").strip(), "kind": "DataError"}


def test_a_name_that_torch_keeps_for_itself_is_refused(train):
    write(keys=["a"] * ROWS)

    code, _, err = train("dataset.kinds={keys: text, image: image}")

    assert code == 3
    assert "modality 'keys'" in err
    assert "rename the column" in err


def test_what_is_legal_and_odd_in_a_table_stays_as_it_is(train):
    """A byte order mark, Windows line ends, labels that YAML would take for booleans, numbers or null."""
    labels = ["yes", "012", "1e5", "null"] * 3
    write(label=labels, image=None, audio=None)
    Path("t.csv").write_bytes(b"\xef\xbb\xbf" + Path("t.csv").read_bytes().replace(b"\n", b"\r\n"))

    code, _, _ = train()

    spec = json.loads((only_run() / "spec.json").read_text(encoding="utf-8"))
    assert code == 0
    assert spec["targets"]["label"]["classes"] == sorted(set(labels))


def test_texts_of_every_sort_train(mmtrain, train):
    """A line break in quotes, 20,000 words, one of 100,000 letters, signs only, right to left, control characters."""
    odd = ["two\nlines", "word " * 20_000, "x" * 100_000, "🐟🐠", "سمكة حمراء", "a\x01\x7f\u202e"]
    rows = [*odd, *["red fish", "blue fish"] * 3]
    write(text=[f'"{cell}"' for cell in rows], image=None, audio=None)

    assert train()[0] == 0
    code, out, _ = mmtrain("check", *TINY)
    assert code == 0
    assert "text: 1 to 64 steps, median 2, of at most 64; 1 of 12 fill that, and are cut if longer" in out


def test_a_file_in_two_splits_is_told_at_the_start(train):
    write()

    _, out, _ = train()

    assert "note: 2 files of `image` are in both train and test: line " in out
    assert "both train and test" in (only_run() / "train.log").read_text(encoding="utf-8")


# ---------------------------------------------------------------------------------------------- paths in cells


@pytest.mark.parametrize(
    "cell",
    ["../secret.png", "/etc/passwd", "~/a.png", "http://127.0.0.1:9/a.png", "file:///etc/passwd", "data:image/png",
     "concat:0.png", "|cat 0.png", "C:\\a.png", "folder.png", "pipe.png", "outside.png", "loop.png", "x" * 300 + ".png",
     "gone.png"],
)  # fmt: skip
@pytest.mark.parametrize("row", [0, 5])
def test_a_path_that_is_no_file_below_the_table_is_refused_with_its_row(mmtrain, tmp_path, cell, row):
    """Nothing of it is opened: a pipe nobody writes to would wait for ever. Also in the first row of the column."""
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path.parent / "secret.png").write_bytes(png(0))
    (tmp_path / "outside.png").symlink_to(tmp_path.parent / "secret.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    write(image=[cell if number == row else "0.png" for number in range(ROWS)])

    code, _, err = mmtrain("check", *TINY)

    assert code == 3
    assert f"t.csv: 1 of 12 rows have an unusable `image`: line {row + 2}: " in err


def test_a_url_in_place_of_the_table_is_refused(mmtrain):
    code, _, err = mmtrain("check", *TINY, "dataset.path=http://127.0.0.1:9/t.csv")

    assert code == 3
    assert "fetch the table first" in err


# ---------------------------------------------------------------------------------------------- media files

HEADER_ONLY = wav(0)[:44]
BAD_MEDIA = {
    "empty.png": (b"", "the file is empty"),
    "byte.png": (b"\x89", "no JPEG, PNG, WEBP, BMP, GIF picture"),
    "half.png": (png(0)[: len(png(0)) // 2], "damaged picture"),
    "most.jpg": (png(0, format="JPEG")[: len(png(0, format="JPEG")) * 9 // 10], "damaged picture"),
    "page.jpg": (b"<html></html>", "it begins with b'<html></'"),
    "sound.png": (wav(0), "it begins with b'RIFF"),
    "paper.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no JPEG, PNG"),
    "empty.wav": (b"", "the file is empty"),
    "header.wav": (HEADER_ONLY, "truncated WAV"),
    "half.wav": (wav(0)[:444], "its header promises 800 bytes of sound, 400 are there"),
    "most.wav": (wav(0)[:-2], "its header promises 800 bytes of sound, 798 are there"),
    "claims.wav": (wav(0)[:40] + struct.pack("<I", 2**31) + wav(0)[44:], "truncated WAV"),
    "silent.wav": (wav(0, frames=0), "the sound has no samples"),
    "nan.wav": (float_wav([0.0, float("nan")] * 100), "nan or infinite"),
    "adpcm.wav": (wav(0)[:20] + b"\x11\x00" + wav(0)[22:], "format tag 0x11"),
    "picture.wav": (png(0), "no WAV, FLAC, Ogg or MP3 sound: it begins with b'\\x89PNG"),
}


def bad_rows(names: Sequence[str], first: int) -> None:
    """Writes the bad files, and a table that holds each in a row of its own from row `first` on."""
    cells = {kind: list(columns()[kind]) for kind in ("image", "audio")}
    for row, name in enumerate(names, first):
        Path(name).write_bytes(BAD_MEDIA[name][0])
        cells["audio" if name.endswith(".wav") else "image"][row] = name
    write(**cells)


@pytest.mark.parametrize("name", ["empty.png", "most.jpg", "sound.png", "empty.wav", "most.wav", "picture.wav"])
def test_a_damaged_file_ends_the_run_with_its_row(train, name):
    """The first bytes decide what a file is, not its name; a decoder's own tolerance of damage is not used."""
    bad_rows([name], first=3)

    code, _, err = train()

    assert code == 3
    assert f"t.csv:5 ({name}): " in err
    assert BAD_MEDIA[name][1] in err
    assert "`on_bad_sample=skip`" in err


@pytest.mark.parametrize("part", [list(BAD_MEDIA)[:5], list(BAD_MEDIA)[5:10], list(BAD_MEDIA)[10:]])
def test_damaged_files_can_be_left_out_and_are_listed(train, part):
    """The rows count for nothing, the others train: at least two are left of eight."""
    bad_rows(part, first=1)

    code, out, _ = train("on_bad_sample=skip", "max_bad_fraction=0.8")

    assert code == 0
    for row, name in enumerate(part, 1):
        (line,) = [
            line for line in out.splitlines() if line.startswith(f"skipped {row + 1}: t.csv:{row + 2} ({name}): ")
        ]
        assert BAD_MEDIA[name][1] in line
    assert read_rows(only_run())[-1]["kind"] == "end"


def test_an_evaluation_counts_the_rows_that_could_be_read(train):
    """One of two validation rows and one of two test rows are damaged: each figure is over the other, and both are
    listed."""
    Path("bad.png").write_bytes(b"")
    image = list(columns()["image"])
    image[8] = image[11] = "bad.png"
    write(image=image)

    code, out, _ = train("on_bad_sample=skip", "max_bad_fraction=0.8")

    evaluations = [row for row in read_rows(only_run()) if row["kind"] == "evaluation"]
    assert code == 0
    assert [row["rows"] for row in evaluations] == [1, 1, 1]
    assert "skipped 9: t.csv:10 (bad.png): the file is empty" in out
    assert "skipped 12: t.csv:13 (bad.png): the file is empty" in out


@pytest.mark.parametrize(("row", "split", "rows"), [(2, "train", 8), (9, "val", 2)])
def test_more_bad_rows_than_allowed_end_the_run(mmtrain, train, row, split, rows):
    """One row is more than a hundredth of either split; an evaluation holds to the same bound."""
    Path("bad.png").write_bytes(b"")
    write(image=["bad.png" if number == row else "0.png" for number in range(ROWS)])
    bound = "more than `max_bad_fraction` (=0.01) lets pass"
    told = f"1 of {rows} rows of {split} could not be read, {bound}: t.csv:{row + 2} (bad.png): the file is empty"

    code, _, err = train("on_bad_sample=skip")
    assert code == 3
    assert told in err

    assert train("on_bad_sample=skip", f"max_bad_fraction={1 / rows}")[0] == 0
    code, _, err = mmtrain("evaluate", "last", f"split={split}", "max_bad_fraction=0.01")
    assert code == 3
    assert told in err


@pytest.mark.parametrize(
    ("bad", "options", "code"),
    [
        ([2, 9, 12], [], 3),
        ([2, 9, 12], ["on_bad_sample=skip"], 3),
        ([2, 9], ["on_bad_sample=skip", "max_bad_fraction=0.5"], 0),
        ([], [], 0),
    ],
    ids=["error", "skip", "within the bound", "none"],
)
def test_check_ends_as_training_would(mmtrain, train, bad, options, code):
    """It reads every row, so it names all that are bad; training stops at the first or beyond the bound."""
    Path("bad.png").write_bytes(b"")
    write(image=["bad.png" if number in bad else "0.png" for number in range(1, ROWS + 1)])

    found, out, err = mmtrain("check", *TINY, *options)

    assert found == train(*options)[0] == code
    assert re.search(rf"read: 12 of 12 rows in \d+s, {len(bad)} bad", out)
    assert "a step of 4 rows takes " in out
    if code and not options:
        assert [f"t.csv:{row + 1} (bad.png)" in err for row in bad] == [True] * 3
        assert "3 of 12 rows cannot be read; mend the files, or leave such rows out" in err


def test_files_that_are_gone_are_told_of_all_columns_at_once(mmtrain):
    """A line each, before anything is decoded."""
    write(image=["gone.png", *["0.png"] * 11], audio=["0.wav"] * 10 + ["lost.wav"] * 2)

    code, _, err = mmtrain("check", *TINY)

    assert code == 3
    assert [line.partition(": line")[0] for line in err.splitlines()] == [
        "error: t.csv: 1 of 12 rows have an unusable `image`",
        "error: t.csv: 2 of 12 rows have an unusable `audio`",
    ]


def test_check_loads_weights_from_files_and_no_others(mmtrain):
    """A file that is not there would end training; a download is not waited for."""
    write()
    resnet = (*(word for word in TINY if not word.startswith("encoder.image")), "encoder/image=resnet18")

    code, _, err = mmtrain("check", *resnet, "encoder.image.weights=gone.pth")

    assert code == 2
    assert "`encoder.image.weights`: no file 'gone.pth'" in err
    assert mmtrain("check", *resnet, "encoder.image.weights=IMAGENET1K_V1")[0] == 0


def test_check_reads_as_many_rows_as_it_is_told(mmtrain):
    """Of twelve rows the first, fifth and ninth: the damaged second one is not met."""
    Path("bad.png").write_bytes(b"")
    write(image=["0.png", "bad.png", *["0.png"] * 10])

    code, out, _ = mmtrain("check", *TINY, "sample=3")

    assert code == 0
    assert "read: 3 of 12 rows" in out
    assert out.rstrip().endswith("dataset=table")


def test_check_writes_a_page_of_a_chinese_table(mmtrain):
    """Labels and sentences are on it as they are in the table."""
    write(text=["红色的鱼", "蓝色的鱼"] * 6, label=["红", "蓝"] * 6)

    code, _, _ = mmtrain("check", *TINY, "html=data.html")

    html = Path("data.html").read_text(encoding="utf-8")
    assert code == 0
    assert html.count("<bdi>红色的鱼</bdi>") == html.count("<h3><bdi>红</bdi></h3>") == 4
    assert "label</bdi>: 2 classes" in html


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("sample=0", "`sample=0`: expected a number of rows, at least 1."),
        ("sample=few", "`sample=few`: expected a number of rows"),
        ("html=nowhere/data.html", "`html=nowhere/data.html`: no folder nowhere"),
    ],
)
def test_check_refuses_an_option_of_its_own_beside_the_others(mmtrain, option, said):
    """All faults of a command line come at once."""
    write()

    code, _, err = mmtrain("check", *TINY, option, "trainer.epochs=0")

    assert code == 2
    assert said in err
    assert "`trainer.epochs`" in err


def test_a_split_of_which_nothing_can_be_read_is_an_error(train):
    Path("bad.png").write_bytes(b"")
    write(image=[*["0.png"] * 8, *["bad.png"] * 4])

    code, _, err = train("on_bad_sample=skip")

    assert code == 3
    assert "none of 2 rows could be read" in err
    assert "t.csv:10 (bad.png): the file is empty" in err


def test_odd_but_legal_media_train(train):
    """Grey, CMYK, palette, 16 bits, an alpha channel; 8 and 24 bits, stereo, other rates."""
    pictures = {
        "grey.png": png(0, mode="L"),
        "cmyk.jpg": png(1, mode="CMYK", format="JPEG"),
        "palette.png": png(2, mode="P"),
        "deep.png": png(3, mode="I;16"),
        "alpha.png": png(4, mode="RGBA"),
        "anim.gif": png(5, format="GIF"),
        "web.webp": png(6, format="WEBP"),
        "bits.bmp": png(7, format="BMP"),
    }
    sounds = {
        "8.wav": wav(0, width=1),
        "24.wav": wav(1, width=3),
        "stereo.wav": wav(2, channels=2),
        "high.wav": wav(3, rate=8000),
        "float.wav": float_wav([0.5] * 300),
        "silence.wav": float_wav([0.0] * 300),
        "short.wav": wav(4, frames=40),
        "long.wav": wav(5, frames=4000),
    }
    for name, content in {**pictures, **sounds}.items():
        Path(name).write_bytes(content)
    write(image=[*pictures, *columns()["image"][8:]], audio=[*sounds, *columns()["audio"][8:]])

    assert train()[0] == 0


def test_a_batch_in_which_one_row_has_the_modality_trains(train):
    """BatchNorm has no statistics of a single row; it uses its running ones for that step."""
    write(image=["0.png", *[""] * 7, "", "1.png", "", ""])

    assert train()[0] == 0


@pytest.mark.parametrize("emptied", ["image", "audio"])
def test_half_of_a_column_of_media_may_be_blank_in_training_evaluating_and_predicting(mmtrain, train, emptied):
    """Of two test rows one has all three, and the score of each is told; predictions are of all twelve."""
    whole = columns()[emptied]
    write(**{emptied: [cell if row % 2 else "" for row, cell in enumerate(whole)]})
    others = "+".join(name for name in ("text", "image", "audio") if name != emptied)

    for verb in (train, lambda: mmtrain("evaluate", "last", "split=test")):
        code, out, _ = verb()
        told = out.partition("accuracy on test by what a row has\n")[2].splitlines()[:2]
        assert code == 0
        assert sorted(line.split()[0] for line in told) == sorted([others, "text+image+audio"])
        assert all(" 1 rows " in line for line in told)

    assert mmtrain("predict", "last", "input=t.csv", "output=said.csv")[0] == 0
    assert len(Path("said.csv").read_text(encoding="utf-8").splitlines()) == 1 + ROWS


# ---------------------------------------------------------------------------------------------- numbers and memory

ENCODER = """
import torch
from mmtrain.contracts import Tokens

class Nan(torch.nn.Module):
    width = 8
    def __init__(self, spec, *, calls: list[int]):
        super().__init__()
        self.layer, self.calls, self.count = torch.nn.Linear(3, 8), calls, 0
    def forward(self, signal):
        values = self.layer(signal.values.mean((2, 3))).unsqueeze(1)
        self.count += self.training
        if self.training and self.count in self.calls:
            values = values.masked_fill(torch.arange(len(values)).view(-1, 1, 1) == 0, float("nan"))
        return Tokens(values, signal.mask)
"""


@pytest.fixture
def own_encoder() -> Sequence[str]:
    """The overrides that choose an encoder whose first row is nan at some steps, from a folder of the user's own."""
    Path("nan_encoder.py").write_text(ENCODER, encoding="utf-8")
    option = Path("mine/encoder/image/nan.yaml")
    option.parent.mkdir(parents=True)
    option.write_text("# nan.\n_target_: nan_encoder.Nan\ncalls: [2]\n", encoding="utf-8")
    own = [word for word in TINY if not word.startswith("encoder.image.")]
    return ["--config-dir=mine", *own, "encoder/image=nan"]


def test_a_loss_that_is_not_finite_stops_before_the_optimizer(mmtrain, own_encoder):
    """nan in step 2: exit code 4 with the row, the checkpoints hold steps 0 and 1, and are finite."""
    write(id=[f"row-{number}" for number in range(ROWS)])

    code, _, err = mmtrain(*own_encoder, "trainer.save_every_steps=1")

    saved, faults = checkpoint.newest(only_run() / "checkpoints")
    assert code == 4
    assert "the loss at step 2 is not finite; the weights are untouched. Rows with a non-finite output: row-" in err
    assert (saved.step, faults) == (1, [])
    assert error_of(only_run())["code"] == 4


def test_a_step_that_is_not_finite_can_be_left_out(mmtrain, own_encoder):
    write()

    assert mmtrain(*own_encoder, "trainer.on_nonfinite=skip")[0] == 0
    assert [row["step"] for row in read_rows(only_run()) if row["kind"] == "nonfinite"] == [1]


def test_five_bad_steps_in_a_row_stop_the_run(mmtrain, own_encoder):
    write()
    five = ("encoder.image.calls=[1,2,3,4,5]", "trainer.epochs=3", "trainer.on_nonfinite=skip")

    code, _, err = mmtrain(*own_encoder, *five)

    assert code == 4
    assert "step 5" in err


def test_a_learning_rate_that_is_far_too_high_stops_the_run(train):
    write()

    code, _, err = train("optimizer.lr=1e30", "optimizer=sgd", "trainer.clip_norm=null", "trainer.epochs=5")

    assert code == 4
    assert "Try a lower `optimizer.lr`" in err


def test_a_score_that_is_nan_is_never_the_best(train, monkeypatch):
    """.1 before the first step, then nan: step 0 stays the best, and is what the test uses."""
    scores = iter([0.1, float("nan"), float("nan"), 0.1])
    monkeypatch.setattr("mmtrain.tasks.classification.Classification.metrics", lambda *_: {"accuracy": next(scores)})
    write()

    assert train("trainer.epochs=2")[0] == 0
    assert read_rows(only_run())[-1]["best_step"] == 0


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), MemoryError()]
)
def test_out_of_memory_is_told_with_the_batch_size_and_two_ways_out(train, monkeypatch, error):
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(loop, "train_step", full)
    write()

    code, _, err = train()

    assert code == 5
    assert "`trainer.batch_size` (=4)" in err
    assert "Halve it" in err
    assert "`trainer.accumulate=2`" in err
    assert error_of(only_run())["code"] == 5


def test_in_a_sweep_the_job_after_one_that_ran_out_of_memory_trains(mmtrain, monkeypatch, capsys):
    real, left = loop.train_step, [torch.OutOfMemoryError("CUDA out of memory.")]

    def once(*arguments: object) -> None:
        if left:
            raise left.pop()
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "train_step", once)
    monkeypatch.setattr(Hydra, "get_mode", lambda *_, **__: RunMode.MULTIRUN)
    write()

    code = main(["-m", *TINY, "seed=0,1"])
    out = capsys.readouterr().out

    assert code == 5
    assert [line.split()[1] for line in out.splitlines() if line.startswith("seed=")] == ["failed", "done"]


# ---------------------------------------------------------------------------------------------- disks and folders


def test_a_full_disk_is_found_before_the_first_step(train, monkeypatch):
    """The checkpoint of step 0 says what is needed and what is free."""
    usage = shutil.disk_usage(".")._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    write()

    code, _, err = train()

    assert code == 7
    assert "100 are free; make room first" in err
    assert [row for row in read_rows(only_run()) if row["kind"] == "train"] == []
    assert error_of(only_run())["code"] == 7


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fills_up_while_saving_leaves_the_earlier_checkpoint_whole(train, monkeypatch, reason):
    """fsync fails from the first step on: nothing half written is left."""
    real_sync, real_step, broken = os.fsync, loop.train_step, False

    def sync(handle: int) -> None:
        if broken:
            raise OSError(reason, os.strerror(reason))
        real_sync(handle)

    def step(*arguments: object) -> None:
        nonlocal broken
        real_step(*arguments)  # type: ignore[arg-type]
        broken = True

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(loop, "train_step", step)
    write()

    code, _, err = train("trainer.save_every_steps=1")

    assert code == 7
    assert os.strerror(reason) in err
    assert checkpoint.newest(only_run() / "checkpoints")[0].step == 0
    assert list((only_run() / "checkpoints").glob(".tmp-*")) == []
    assert error_of(only_run())["code"] == 7


def test_an_output_folder_that_cannot_be_written_is_told_with_the_key(train, monkeypatch):
    real = Path.mkdir

    def mkdir(self: Path, *arguments: object, **options: object) -> None:
        if "outputs" in self.parts:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))
        real(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", mkdir)
    write()

    code, _, err = train()

    assert code == 7
    assert "cannot make a run folder in outputs/train: Read-only file system; choose another with `output_dir=`" in err


def test_an_output_folder_that_is_a_file_is_refused(train):
    write()

    code, _, err = train("output_dir=0.png")

    assert code == 7
    assert "Not a directory" in err


def test_runs_of_the_same_second_get_folders_of_their_own(monkeypatch, tmp_path):
    """Twenty at once."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime(2030, 1, 2, 3, 4, 5)

    monkeypatch.setattr(paths, "datetime", Clock)
    with ThreadPoolExecutor(20) as pool:
        made = list(pool.map(lambda _: paths.new_run(tmp_path / "outputs", "train"), range(20)))

    assert len(set(made)) == 20
    assert all(folder.is_dir() for folder in made)


# ---------------------------------------------------------------------------------------------- run folders


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with the tiny table and a run on it that lacks its last line: there is something left to resume."""
    folder = tmp_path_factory.mktemp("trained")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    for number in range(4):
        Path(f"{number}.png").write_bytes(png(number))
        Path(f"{number}.wav").write_bytes(wav(number))
    write()
    assert main([*TINY, "trainer.save_every_steps=1", "trainer.epochs=2", "schedule=constant"]) == 0
    metrics = only_run() / "metrics.jsonl"
    metrics.write_text("".join(metrics.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")
    patch.undo()
    return folder


@pytest.fixture
def run(trained, tmp_path) -> Path:
    """A copy of it in the working folder."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return only_run()


def edit(run: Path, **changed: object) -> None:
    """Changes keys of config.yaml."""
    file = run / "config.yaml"
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    for key, value in changed.items():
        node = config
        *parents, name = key.split("__")
        for parent in parents:
            node = node[parent]
        node[name] = value
    file.write_text(yaml.safe_dump(config), encoding="utf-8")


def test_a_checkpoint_that_is_damaged_is_passed_over_and_named(mmtrain, run):
    newest = checkpoint.steps(run / "checkpoints")[-1]
    weights = newest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])

    code, out, _ = mmtrain("resume", "last")

    assert code == 0
    assert f"passed over: {weights}: " in out
    assert "from step 3" in out


def test_with_all_checkpoints_damaged_nothing_starts_from_scratch(mmtrain, run):
    for number, path in enumerate(checkpoint.steps(run / "checkpoints")):
        file = path / ("model.safetensors", "state.json", "manifest.json")[number % 3]
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)

    code, _, err = mmtrain("resume", "last")

    assert code == 6
    assert all(path.name in err for path in checkpoint.steps(run / "checkpoints"))
    assert mmtrain("evaluate", "last")[0] == 6


class Payload:
    """What a pickle of it would run."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch canary",)


def test_a_pickle_in_place_of_weights_is_never_opened(mmtrain, run, monkeypatch):
    """With a manifest that vouches for it: a checksum proves integrity, not origin."""
    import pickle

    folder = run / "checkpoints"
    newest = checkpoint.read(checkpoint.steps(folder)[-1])
    shutil.rmtree(folder)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_tensors", lambda _: pickle.dumps(Payload()))
        checkpoint.save(folder, newest.step, newest.tensors, newest.values, newest.facts)

    for verb in ("resume", "evaluate"):
        code, _, err = mmtrain(verb, str(run))
        assert code == 6
        assert "not a checkpoint of mmtrain" in err
    assert not Path("canary").exists()


PAYLOADS = [
    {"fusion___target_": "os.system"},
    {"fusion___target_": "mmtrain.fusion.concat.os.system"},
    {"fusion___target_": "builtins.exec"},
    {"encoder__image___target_": "subprocess.call"},
    {"encoder__image__inner": {"_target_": "os.system", "command": "touch canary"}},
    {"encoder__image__channels": [{"_target_": "os.system", "command": "touch canary"}]},
    {"dataset___args_": ["touch canary"]},
    {"dataset___partial_": True},
    {"optimizer__class_path": "os.system"},
    {"trainer___target_": "os.system"},
    {"hydra": {"launcher": {"_target_": "os.system"}}},
    {"defaults": ["/etc/passwd"]},
    {"name": "${oc.env:HOME}"},
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: "-".join(payload))
def test_a_run_folder_that_names_code_of_its_own_is_refused(mmtrain, run, payload):
    edit(run, **payload)

    for line in (["resume", str(run)], ["evaluate", str(run)], ["predict", str(run), "input=t.csv"]):
        code, _, err = mmtrain(*line)
        assert code == 2
        assert f"{run}/config.yaml" in err
    assert not Path("canary").exists()


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [1]\nb: *a\n",
        "a: !!python/object/apply:os.system [touch canary]\n",
        "a: 1\na: 2\n",
        "a: " + "[" * 100 + "]" * 100 + "\n",
        "\tname: x\n",
        "a" * 2_000_000,
    ],
    ids=["alias", "tag", "twice", "deep", "tab", "large"],
)
def test_a_config_in_a_run_folder_that_is_no_plain_yaml_is_refused(mmtrain, run, text):
    (run / "config.yaml").write_text(text, encoding="utf-8")

    code, _, err = mmtrain("evaluate", str(run))

    assert code == 2
    assert "config.yaml" in err
    assert not Path("canary").exists()


def test_a_run_that_another_process_works_in_is_left_alone(mmtrain, run):
    """The message names the process; a lock that a dead one has left does not count."""
    with locked(run):
        code, _, err = mmtrain("resume", "last")
    assert code == 2
    assert f"in use by process {os.getpid()} on " in err

    assert mmtrain("resume", "last")[0] == 0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"width": 24}, "`fusion.absent` is [3, 16] in the checkpoint but [3, 24] in this model; has the run's config"),
        ({"encoder__image__channels": [4, 4]}, "encoder"),
    ],
)
def test_weights_of_another_model_are_refused(mmtrain, run, changed, said):
    edit(run, **changed)

    for verb in ("resume", "evaluate"):
        code, _, err = mmtrain(verb, "last")
        assert code in (2, 6)
        assert said in err


CHANGES = {
    "labels": "0 rows are new, 0 gone, 0 in another split, 12 of other content",
    "a row more": "1 rows are new, 0 gone, 0 in another split, 0 of other content",
    "a file": "0 rows are new, 0 gone, 0 in another split, 3 of other content",
    "splits": "0 rows are new, 0 gone, 2 in another split, 0 of other content",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_resume_on_changed_data_is_refused(mmtrain, run, change):
    """The rows that differ are counted: three have the picture. A file that keeps its size is not looked at."""
    if change == "labels":
        write(label=["y", "x"] * 6)
    elif change == "splits":
        write(split=["val", *SPLIT[1:-1], "train"])
    elif change == "a row more":
        with Path("t.csv").open("a", encoding="utf-8") as file:
            file.write("red fish,0.png,0.wav,x,train\n")
    else:
        Path("0.png").write_bytes(png(9, mode="L"))

    code, _, err = mmtrain("resume", "last")

    assert code == 3
    assert f"was made: by splits.jsonl, {CHANGES[change]}; put the old rows and files back" in err


def test_a_run_that_ended_before_its_data_was_read_says_so(mmtrain, train):
    write(label=["x"] * ROWS)
    train()

    code, _, err = mmtrain("resume", str(only_run()))

    assert code == 6
    assert "the run ended before it had read its data; train anew" in err


def test_a_resume_that_goes_well_takes_the_note_of_the_failure_away(mmtrain, run):
    (run / "error.json").write_text("{}", encoding="utf-8")

    assert mmtrain("resume", "last")[0] == 0
    assert not (run / "error.json").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["reader/text=pretrained", "reader.text.tokenizer=no-such-model"], "or learn subwords from the training rows"),
        (["augment/audio=standard", "augment.audio.snr=[30,10]"], "`augment.audio`: `snr` (=[30, 10]) must be [least,"),
        (["plan=sharded"], "`plan`: reads shard after shard, but the data are not in shards; choose plan=uniform"),
        (["modalities=[text]", "technique.mixing=mixup"], "`technique.mixing`: mixes image, video, audio only"),
    ],
)
def test_a_preparation_that_does_not_fit_the_data_is_refused_by_its_key(train, options, said):
    write()

    code, _, err = train(*options)

    assert code == 2
    assert said in err


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (["evaluate", "nowhere"], 2, "is not a run folder"),
        (["evaluate", "last", "split=tset"], 2, "`split=tset`: the data has train, val, test"),
        (["evaluate", "last", "checkpoint=7"], 6, "step_00000007"),
        (["predict", "last"], 2, "predict needs a table"),
        (["predict", "last", "input=gone.csv"], 3, "cannot read the table gone.csv"),
        (["predict", "last", "input=0.png"], 3, "'.png' is not a table mmtrain reads"),
        (["resume", "last", "optimizer.lr=1"], 2, "knows no `optimizer.lr`"),
        (["resume", "last", "trainer.epochs=-1"], 2, "`trainer.epochs`: found -1, expected int, at least 1"),
    ],
)
def test_a_verb_that_cannot_do_what_is_asked_says_why(mmtrain, run, line, code, said):
    found, _, err = mmtrain(*line)

    assert found == code
    assert said in err


def test_a_damaged_file_among_new_rows_is_named_or_left_out(mmtrain, run):
    Path("bad.png").write_bytes(b"<html>")
    Path("new.csv").write_text("text,image\na,0.png\nb,bad.png\n", encoding="utf-8")

    code, _, err = mmtrain("predict", "last", "input=new.csv")
    assert code == 3
    assert "new.csv:3 (bad.png): no JPEG" in err

    code, out, _ = mmtrain("predict", "last", "input=new.csv", "on_bad_sample=skip")
    assert code == 0
    assert "skipped 2: new.csv:3 (bad.png): no JPEG" in out
    assert len((run / "predictions" / "new.csv").read_text(encoding="utf-8").splitlines()) == 2

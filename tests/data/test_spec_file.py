"""The facts about data survive the disk; a folder from a stranger is checked to the last value."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mmtrain.contracts import ColumnSpec, DataSpec, SignalSpec
from mmtrain.data.spec_file import load_spec, save_spec
from mmtrain.errors import CheckpointError, DataError
from mmtrain.target import TargetSpec

SPEC = DataSpec(
    signals={
        "text": SignalSpec("text", "text", length=64, vocabulary=("<pad>", "<unknown>", "猫", "x\u2028y", "\x85")),
        "image_2": SignalSpec("image_2", "image", shape=(3, 8, 9)),
        "audio": SignalSpec("audio", "audio", length=16_000, sample_rate=16_000),
        "row": SignalSpec("row", "tabular", length=2, columns=(ColumnSpec(("", "犬")), ColumnSpec((), 0.1, 2e-9))),
    },
    targets={
        "label": TargetSpec("label", "class", ("no", "ja, \n'\"", "012"), (1, 2, 0)),
        "price": TargetSpec("price", "number", mean=0.1, deviation=1 / 3),
        "caption": TargetSpec(
            "caption", "text", tokenizer="bpe", vocabulary=("\n", "犬", "犬犬"), merges=("犬 犬",), length=9
        ),
    },
    ceilings={"text": 0.5, "text+image": 1.0},
)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    save_spec(tmp_path, SPEC)
    return tmp_path


def test_a_spec_comes_back_as_it_was(stored: Path):
    """Values and the order of modalities."""
    loaded = load_spec(stored)

    assert loaded == SPEC
    assert list(loaded.signals) == ["text", "image_2", "audio", "row"]


def test_a_vocabulary_is_a_file_of_words(stored: Path):
    """One a line, for people and other tools, and not repeated in spec.json."""
    assert (stored / "vocabulary" / "text.txt").read_bytes().decode().split("\n")[:3] == ["<pad>", "<unknown>", "猫"]
    assert [path.name for path in (stored / "vocabulary").iterdir()] == ["text.txt"]
    assert "猫" not in (stored / "spec.json").read_text(encoding="utf-8")


def change(*path: str | int, to: object) -> Callable[[dict], None]:
    def apply(content: dict) -> None:
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = to

    return apply


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change("format", to=2), "has format 2; this mmtrain reads format 1"),
        (change("extra", to=1), "must have the keys format, signals, targets, ceilings; found .*extra"),
        (change("signals", to=[]), r"signals must be an object; found \[\]"),
        (change("signals", "image_2", to=3), r"signals\.image_2 must be an object; found 3"),
        (change("signals", "image_2", "shape", to=[-8]), r"2\.shape must be a whole number, at least 1; found -8"),
        (change("signals", "image_2", "shape", to=[True]), "found True"),
        (change("signals", "image_2", "shape", to=[3, 2.5, 9]), r"found 2\.5"),
        (change("signals", "image_2", "shape", to=[10**6, 10**6]), r"would hold 1,000,000,000,000 numbers"),
        (change("signals", "audio", "length", to=10**12), "would hold 1,000,000,000,000 numbers"),
        (change("signals", "audio", "length", to="16000"), "found '16000'"),
        (change("signals", "audio", "kind", to=None), "must be a string; found None"),
        (change("signals", "text", "vocabulary", to=4), r"vocabulary/text\.txt has 5 distinct words in 5 lines"),
        (change("signals", "text", "vocabulary", to=-1), "at least 0; found -1"),
        (change("signals", "text", "special", to=[5]), r"special must be one id at least, each below 5; found \[5\]"),
        (change("signals", "text", "special", to=[]), r"special must be one id at least"),
        (change("signals", "text", "tokenizer", to=True), r"no .*text\.json: the run ended before"),
        (change("signals", "text", "tokenizer", to=0), "tokenizer must be false; found 0"),
        (change("signals", "../../x", to={"vocabulary": 1}), r"modality '\.\./\.\./x' cannot name a file"),
        (change("signals", "row", "columns", 1, "mean", to=float("inf")), "columns.mean must be a finite number"),
        (change("signals", "row", "columns", 1, "std", to=0), "`std` above 0; found 0"),
        (change("signals", "row", "columns", 0, "categories", to=["a", "a"]), "must have distinct categories"),
        (change("signals", "row", "length", to=3), r"signals\.row must have as many columns as its length \(=3\)"),
        (change("targets", "label", "classes", to=["a", "a", "b"]), "distinct classes"),
        (change("targets", "label", "classes", 0, to=False), "must be a string; found False"),
        (change("targets", "label", "counts", to=[1, 2]), "as many counts"),
        (change("targets", "price", "deviation", to=0), r"price\.deviation must be a number above 0; found 0"),
        (change("targets", "price", "mean", to=float("inf")), r"price\.mean must be a finite number; found inf"),
        (change("targets", "caption", "vocabulary", to=["a", "a"]), "must have distinct tokens"),
        (change("targets", "caption", "merges", to="犬 犬"), r"caption\.merges must be a list"),
        (change("ceilings", "text", to=1.5), r"a number from 0 to 1; found 1\.5"),
        (change("ceilings", "text", to=float("nan")), "found nan"),
    ],
)
def test_values_that_were_never_written_are_refused(stored: Path, damage: Callable[[dict], None], message: str):
    """Wrong keys, types, signs and sizes, each named."""
    path = stored / "spec.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    damage(content)
    path.write_text(json.dumps(content), encoding="utf-8")

    with pytest.raises(CheckpointError, match=message):
        load_spec(stored)


@pytest.mark.parametrize("content", ["", "{", "[" * 100_000, '{"format": 1', "\ufeff{}"])
def test_what_is_no_json_is_refused(stored: Path, content: str):
    """In one line, naming the file."""
    (stored / "spec.json").write_text(content, encoding="utf-8")

    with pytest.raises(CheckpointError, match=r"spec\.json is no JSON"):
        load_spec(stored)


def test_repeated_words_are_refused(stored: Path):
    """Two ids for one word: the file was changed."""
    (stored / "vocabulary" / "text.txt").write_text("a\nb\nb\nc\nd\n", encoding="utf-8")

    with pytest.raises(CheckpointError, match="4 distinct words in 5 lines"):
        load_spec(stored)


@pytest.mark.parametrize("name", ["spec.json", "vocabulary/text.txt"])
def test_a_missing_or_undecodable_file_is_named(stored: Path, name: str):
    """Never a traceback from the middle of a load."""
    path = stored / name
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(CheckpointError, match=f"{path.name} cannot be read"):
        load_spec(stored)

    path.unlink()
    with pytest.raises(CheckpointError, match=f"no .*{path.name}: the run ended before"):
        load_spec(stored)


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (SignalSpec("../up", "image", shape=(1,)), r"modality '\.\./up' cannot name a file"),
        (SignalSpec("text", "text", length=4, vocabulary=("a\nb",)), "a word of `text` holds a line break"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path, signal: SignalSpec, message: str):
    """Refused before anything is written."""
    with pytest.raises(DataError, match=message):
        save_spec(tmp_path, DataSpec({signal.name: signal}, {}))

    assert list(tmp_path.iterdir()) == []

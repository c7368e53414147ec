"""Public data sets become tables: small archives in the layout of each, made here; nothing is downloaded."""

from __future__ import annotations

import csv
import importlib
import io
import json
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from mmtrain.data.tables.table import TableSource

sys.path.append(str(Path(__file__).parents[1] / "scripts"))
fetch, unpacking = importlib.import_module("fetch"), importlib.import_module("unpack")

Files = Mapping[str, bytes | str]


def content(files: Files, name: str) -> bytes:
    return files[name].encode() if isinstance(files[name], str) else files[name]


def tar(path: Path, files: Files, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as bundle:
        for name in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content(files, name))
            bundle.addfile(entry, io.BytesIO(content(files, name)))
    return path


def packed(files: Files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as bundle:
        for name in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content(files, name))
            bundle.addfile(entry, io.BytesIO(content(files, name)))
    return buffer.getvalue()


def zipped(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w") as bundle:
        for name in files:
            bundle.writestr(name, content(files, name))
    return path


def memes(folder: Path) -> str:
    rows = {
        name: [
            {"id": start + n, "img": f"img/{start + n}.png", "label": n % 2, "text": 'so, "funny"'} for n in range(2)
        ]
        for start, name in ((10, "train"), (20, "dev_seen"), (30, "test_seen"))
    }
    rows["test_seen"].append({"id": 39, "img": "img/39.png", "text": "no label"})
    pictures = {row["img"]: b"png" for entries in rows.values() for row in entries}
    lists = {f"data/{name}.jsonl": "\n".join(map(json.dumps, entries)) for name, entries in rows.items()}
    return str(zipped(folder / "memes.zip", {**lists, "data/img.tar.gz": packed(pictures)}))


def imdb(folder: Path) -> str:
    ids = {"train": ["0000005", "0000008"], "dev": ["0000010"], "test": ["0000012"]}
    films = {
        one: {"plot": ["A man, a plan.", "longer"], "genres": ["Drama", "Short"]}
        for some in ids.values()
        for one in some
    }
    films["0000012"] = {"plot outline": "Outlined.", "genres": ["News"]}
    files = {f"mmimdb/dataset/{one}.json": json.dumps(film) for one, film in films.items()}
    posters = {f"mmimdb/dataset/{one}.jpeg": b"jpeg" for one in films}
    return str(tar(folder / "mmimdb.tar.gz", {**files, **posters, "mmimdb/split.json": json.dumps(ids)}))


def flickr(folder: Path) -> str:
    names = {"train": ["a.jpg", "b.jpg"], "dev": ["c.jpg"], "test": ["d.jpg"]}
    pictures = {f"Flicker8k_Dataset/{name}": b"jpg" for some in names.values() for name in some}
    pictures["__MACOSX/Flicker8k_Dataset/._a.jpg"] = b"junk"
    tokens = [f"{name}.jpg#{n}\tA dog runs {n} ." for name in "abcd" for n in range(5)] + ["gone.jpg.1#0\tNo picture ."]
    lists = {f"Flickr_8k.{split}Images.txt": "\n".join(some) + "\n" for split, some in names.items()}
    first = zipped(folder / "Flickr8k_Dataset.zip", pictures)
    second = zipped(folder / "Flickr8k_text.zip", {**lists, "Flickr8k.token.txt": "\n".join(tokens)})
    return f"{first},{second}"


def meld(folder: Path) -> str:
    header = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime"
    folders = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
    files = {
        f"MELD.Raw/{split}.tar.gz": packed({f"{at}/dia0_utt0.mp4": b"mp4", f"{at}/._dia0_utt0.mp4": b"junk"})
        for split, at in folders.items()
    }
    for split in folders:
        lines = ['1,"Oh, no!",Joey,anger,negative,0,0,1,1,0,1', "2,Yes.,Ross,joy,positive,0,1,1,1,1,2"]
        files[f"MELD.Raw/{split}_sent_emo.csv"] = "\n".join([header, *lines])
    return str(tar(folder / "MELD.Raw.tar.gz", files))


def speech(folder: Path) -> str:
    names = [f"./{word}/{who}_nohash_{n}.wav" for word in ("yes", "no") for who in ("a1", "b2", "c3") for n in range(2)]
    lists = {
        "validation_list.txt": "yes/b2_nohash_0.wav\n",
        "testing_list.txt": "no/c3_nohash_1.wav\nyes/c3_nohash_0.wav\n",
    }
    others = {"./_background_noise_/pink.wav": b"wav", "./README.md": "speech"}
    return str(tar(folder / "speech.tar.gz", {**dict.fromkeys(names, b"wav"), **lists, **others}))


def mosi_files() -> dict[str, bytes | str]:
    rows = [
        ("v1", 1, "train", -1.8, "Negative"),
        ("v1", 2, "train", 2.0, "Positive"),
        ("v2", 1, "valid", 0.0, "Neutral"),
        ("v3", 7, "test", 1.0, "Positive"),
    ]
    head = "video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode"
    lines = [f'{video},{clip},"IT WAS, WELL",{value},,,,{told},{mode}' for video, clip, mode, value, told in rows]
    clips = {f"MOSI/Raw/{video}/{clip}.mp4": b"mp4" for video, clip, *_ in rows[:3]}
    return {"MOSI/label.csv": "\n".join([head, *lines]), **clips}


def mosi(folder: Path) -> str:
    buffer = io.BytesIO()
    np.savez(buffer, **{"v1$_$1": np.ones((5, 3)), "v3$_$7": np.zeros((4, 3))})
    return str(zipped(folder / "MOSI.zip", {**mosi_files(), "MOSI/Processed/audio.npz": buffer.getvalue()}))


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(autouse=True)
def _no_checksums(monkeypatch):
    """The archives made here have sums of their own."""
    monkeypatch.setattr(fetch, "SETS", {name: one._replace(checksums=()) for name, one in fetch.SETS.items()})


EVEN = {"train": 2, "val": 2, "test": 2}
VIDEO = {"text": "text", "video": "video"}
FEATURES = {"text": "text", "features_audio": "features"}
FILM = {"text": "A man, a plan.", "genres": "Drama|Short"}
SCENE = {"text": "Oh, no!", "video": "MELD.Raw/train_splits/dia0_utt0.mp4", "emotion": "anger", "dialogue": "train/0"}
CLIP = {
    "id": "v1$_$1",
    "label": "-1.8",
    "sentiment": "Negative",
    "video": "MOSI/Raw/v1/1.mp4",
    "features_audio": "MOSI/Processed/audio/v1$_$1.npy",
}
CASES: dict[str, tuple[Callable[[Path], str], dict[str, object], dict[str, int], dict[str, str]]] = {
    "hateful_memes": (memes, {}, EVEN, {"id": "10", "text": 'so, "funny"', "label": "0"}),
    "mm_imdb": (imdb, {"target": "genres"}, {"train": 2, "val": 1, "test": 1}, FILM),
    "flickr8k": (flickr, {"target": "text", "group": "picture"}, {"train": 10, "val": 5, "test": 5}, {"id": "a.jpg#0"}),
    "meld": (meld, {"target": "emotion", "kinds": VIDEO}, EVEN, SCENE),
    "speech_commands": (speech, {}, {"train": 9, "val": 1, "test": 2}, {"label": "no", "speaker": "a1"}),
    "mosi": (mosi, {"kinds": FEATURES}, {"train": 2, "val": 1, "test": 1}, CLIP),
}


@pytest.mark.parametrize("name", CASES)
def test_an_archive_becomes_a_table_that_trains(tmp_path, name, capsys):
    """Splits, a first row, and every media file found by `dataset=table`."""
    make, arguments, counts, first = CASES[name]
    fetch.main([name, f"archive={make(tmp_path)}", f"out={tmp_path}/out"])

    source = TableSource(path=str(tmp_path / "out/manifest.csv"), **arguments)
    assert {split: len(rows) for split, rows in source.splits.items()} == counts
    row = table(tmp_path / "out")[0]
    assert {key: row[key] for key in first} == first
    assert f"{sum(counts.values()):,} rows" in capsys.readouterr().out


def test_what_is_missing_in_a_set_is_blank(tmp_path):
    """A clip of MELD and of MOSI that is not there; the features of MOSI are arrays one can read."""
    fetch.main(["meld", f"archive={meld(tmp_path)}", f"out={tmp_path}/meld"])
    assert table(tmp_path / "meld")[1]["video"] == ""
    fetch.main(["mosi", f"archive={mosi(tmp_path)}", f"out={tmp_path}/mosi"])
    rows = table(tmp_path / "mosi")
    assert [rows[3]["video"], rows[1]["features_audio"]] == ["", ""]
    assert np.load(tmp_path / "mosi" / rows[0]["features_audio"]).shape == (5, 3)


def test_pickled_features_are_never_opened(tmp_path, capsys):
    """The note says what to do; the rest of the set is used."""
    files = {**mosi_files(), "MOSI/Processed/unaligned_50.pkl": b"cos\nsystem\n(S'touch pwned'\ntR."}
    fetch.main(["mosi", f"archive={zipped(tmp_path / 'MOSI.zip', files)}", f"out={tmp_path}/out"])
    assert "unaligned_50.pkl not opened" in capsys.readouterr().out
    assert "features_audio" not in table(tmp_path / "out")[0]


def test_a_folder_that_is_unpacked_already_is_used_in_its_place(tmp_path):
    for name, data in mosi_files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    fetch.main(["mosi", f"archive={tmp_path}"])
    assert len(table(tmp_path)) == 4


def test_an_archive_that_is_not_the_published_one_is_refused(tmp_path, monkeypatch):
    sums = ("md5:900150983cd24fb0d6963f7d28e17f72",)  # of abc
    (tmp_path / "a.zip").write_bytes(b"abc")
    fetch.check(tmp_path / "a.zip", sums)
    (tmp_path / "a.zip").write_bytes(b"abd")
    with pytest.raises(SystemExit, match=r"a.zip has md5:.*; published: md5:9001"):
        fetch.check(tmp_path / "a.zip", sums)


def test_sets_that_cannot_be_downloaded_say_where_to_get_them(capsys):
    with pytest.raises(SystemExit, match=r"get it from https://hatefulmemes.*archive=FILE"):
        fetch.main(["hateful_memes"])
    with pytest.raises(SystemExit):
        fetch.main([])
    out = capsys.readouterr().out
    assert [name for name in CASES if f"\n{name}\n" not in out] == []


def link(kind: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with tarfile.open(folder / "a.tar", "w") as bundle:
            entry = tarfile.TarInfo("x")
            entry.type, entry.linkname = kind, "/etc/passwd"
            bundle.addfile(entry)
        return folder / "a.tar"

    return make


def zip_link(folder: Path) -> Path:
    entry = zipfile.ZipInfo("x")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(folder / "a.zip", "w") as bundle:
        bundle.writestr(entry, "/etc/passwd")
    return folder / "a.zip"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (link(tarfile.SYMTYPE), "'x' is a link or device"),
        (link(tarfile.LNKTYPE), "'x' is a link or device"),
        (link(tarfile.FIFOTYPE), "'x' is a link or device"),
        (zip_link, "'x' is a link or device"),
        (lambda folder: tar(folder / "a.tar.gz", {"../x": b""}), "'../x' leads out"),
        (lambda folder: tar(folder / "a.tgz", {"/x": b""}), "'/x' leads out"),
        (lambda folder: zipped(folder / "a.zip", {"a/../../x": b""}), "leads out"),
        (lambda folder: zipped(folder / "a.zip", {"big": bytes(2000)}), "unpacks to more than 1,000 bytes"),
        (lambda folder: zipped(folder / "a.zip", dict.fromkeys("abcd", b"")), "has more than 3 files"),
        (lambda folder: tar(folder / "a.tar", {"x": b"1", "./x": b"2"}, "w"), "cannot unpack .*File exists"),
        (lambda folder: zipped(folder / "a.rar", {}), "a.rar is none of .zip"),
    ],
)
def test_an_archive_that_cannot_be_trusted_leaves_nothing(tmp_path, monkeypatch, make, message):
    monkeypatch.setattr(unpacking, "MOST_BYTES", 1000)
    monkeypatch.setattr(unpacking, "MOST_FILES", 3)
    archive = make(tmp_path)
    with pytest.raises(SystemExit, match=message):
        unpacking.unpack([archive], tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == [archive.name]


def test_a_folder_that_exists_is_not_touched(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(SystemExit, match="out exists; choose another with out="):
        unpacking.unpack([zipped(tmp_path / "a.zip", {"x": b""})], tmp_path / "out")

"""Makes a table of a public multimodal data set: python scripts/fetch.py NAME [archive=FILE[,FILE]] [out=FOLDER]

Without `archive` the files are downloaded where their source allows it; `archive` names what you have downloaded, or
the folder in which it lies unpacked. Without NAME the sets are listed with source, licence and size. The layouts are
those that the sources describe; docs/data-sources.md says what has been tried on the real files.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from unpack import unpack

Rows = Iterator[dict[str, str]]


class PublicSet(NamedTuple):
    """A data set: where it comes from, under which terms, and what makes rows of its files."""

    about: str
    source: str
    licence: str
    size: str
    rows: Callable[[Path], Rows]
    urls: tuple[str, ...] = ()
    checksums: tuple[str, ...] = ()  # "sha256:..." or "md5:...", that of any archive; empty: none is published


def hateful_memes(root: Path) -> Rows:
    """`img/*.png`, and train, dev and test .jsonl with id, img, label, text; test rows without a label stay out."""
    base = the_one(root, "train.jsonl").parent
    for split, names in {"train": ["train"], "val": ["dev_seen", "dev"], "test": ["test_seen", "test"]}.items():
        file = next((base / f"{name}.jsonl" for name in names if (base / f"{name}.jsonl").exists()), None)
        for line in file.read_text(encoding="utf-8").splitlines() if file else []:
            row = json.loads(line)
            if "label" in row:
                yield {
                    "id": str(row["id"]),
                    "image": path_of(root, base / row["img"]),
                    "text": row["text"],
                    "label": str(row["label"]),
                    "split": split,
                }


def mm_imdb(root: Path) -> Rows:
    """`split.json` with ids, and `dataset/ID.json` with plot and genres beside `dataset/ID.jpeg`."""
    base = the_one(root, "split.json").parent
    for split, ids in json.loads((base / "split.json").read_text(encoding="utf-8")).items():
        for identity in ids:
            film = json.loads((base / "dataset" / f"{identity}.json").read_text(encoding="utf-8"))
            plots = film.get("plot") or [film.get("plot outline") or ""]
            yield {
                "id": identity,
                "image": path_of(root, base / "dataset" / f"{identity}.jpeg"),
                "text": plots[0],
                "genres": "|".join(film["genres"]),
                "split": split,
            }


def flickr8k(root: Path) -> Rows:
    """A row for each of five captions a picture; pictures that are in no split are left out."""
    splits = {
        name.strip(): split
        for split, file in (("train", "train"), ("val", "dev"), ("test", "test"))
        for name in the_one(root, f"Flickr_8k.{file}Images.txt").read_text(encoding="utf-8").split()
    }
    pictures = the_one(root, next(iter(splits))).parent
    for line in the_one(root, "Flickr8k.token.txt").read_text(encoding="utf-8").splitlines():
        key, caption = line.split("\t")
        name = key.rpartition("#")[0]
        if name in splits:
            image = path_of(root, pictures / name)
            yield {"id": key, "image": image, "text": caption, "picture": name, "split": splits[name]}


def meld(root: Path) -> Rows:
    """A row an utterance; one whose clip is missing has no video."""
    folders = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
    for split, folder in folders.items():
        clips = {path.name: path for path in root.rglob(f"{folder}/dia*_utt*.mp4")}
        with the_one(root, f"{split}_sent_emo.csv").open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                name = f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}"
                clip = clips.get(f"{name}.mp4")
                yield {
                    "id": f"{split}/{name}",
                    "text": row["Utterance"],
                    "video": clip.relative_to(root).as_posix() if clip else "",
                    "emotion": row["Emotion"],
                    "sentiment": row["Sentiment"],
                    "speaker": row["Speaker"],
                    "dialogue": f"{split}/{row['Dialogue_ID']}",
                    "split": split,
                }


def speech_commands(root: Path) -> Rows:
    """A folder a word; two lists say what validates and tests. `_background_noise_` is left out."""
    base = the_one(root, "testing_list.txt").parent
    splits = {
        line: split
        for split, file in (("val", "validation_list.txt"), ("test", "testing_list.txt"))
        for line in (base / file).read_text(encoding="utf-8").split()
    }
    for path in sorted(base.glob("[!_]*/*.wav")):
        name = path.relative_to(base).as_posix()
        speaker = path.name.partition("_nohash_")[0]
        audio = path.relative_to(root).as_posix()
        yield {"audio": audio, "label": path.parent.name, "speaker": speaker, "split": splits.get(name, "train")}


def mosi(root: Path) -> Rows:
    """`label.csv` and `Raw/VIDEO/CLIP.mp4`, as MMSA has them; features of `Processed/` where they are .npy or .npz.

    MMSA's own features are pickles, which run code of their maker when they are read: they are not opened.
    """
    base = the_one(root, "label.csv").parent
    features = mosi_features(base)
    if not features and (pickles := [path.name for path in base.rglob("*.pkl")]):
        print(
            f"note: {', '.join(pickles)} not opened: reading a pickle runs code of its maker. Where you trust it, save"
            " each modality as Processed/NAME.npz with one array [T, D] a clip, named VIDEO$_$CLIP, and run this again."
        )
    with (base / "label.csv").open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            identity = f"{row['video_id']}$_${row['clip_id']}"
            clip = base / "Raw" / row["video_id"] / f"{row['clip_id']}.mp4"
            yield {
                "id": identity,
                "text": row["text"],
                "video": clip.relative_to(root).as_posix() if clip.exists() else "",
                **{
                    f"features_{name}": path_of(root, files[identity]) if identity in files else ""
                    for name, files in features.items()
                },
                "label": row["label"],
                "sentiment": row["annotation"],
                "clip_of": row["video_id"],
                "split": row["mode"],
            }


def mosi_features(base: Path) -> dict[str, dict[str, Path]]:
    """The feature file of each clip, by modality; arrays in .npz files are written out, one file a clip."""
    for bundle in sorted(base.glob("Processed/*.npz")):
        with np.load(bundle) as arrays:
            for identity in arrays.files:
                if "/" in identity or ".." in identity:
                    sys.exit(f"error: {bundle}: array {identity!r} is no name of a clip.")
                target = bundle.with_suffix("") / f"{identity}.npy"
                target.parent.mkdir(exist_ok=True)
                np.save(target, arrays[identity])
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(base.glob("Processed/*/*.npy")):
        found.setdefault(path.parent.name, {})[path.stem] = path
    return found


SETS: Mapping[str, PublicSet] = {
    "hateful_memes": PublicSet(
        "text and picture, hateful or not; 8,500 training memes",
        "https://hatefulmemeschallenge.com, after agreeing to its terms",
        "research only, by an agreement with Meta",
        "some 4 GB",
        hateful_memes,
        checksums=(  # of the archives given out over time, after the converter of facebookresearch/mmf
            "sha256:d8f1073f5fbf1b08a541cc2325fc8645619ab8ed768091fb1317d5c3a6653a77",
            "sha256:a424c003b7d4ea3f3b089168b5f5ea73b90a3ff043df4b8ff4d7ed87c51cb572",
            "sha256:6e609b8c230faff02426cf462f0c9528957b7884d68c60ebc26ff83846e5f80f",
            "sha256:c1363aae9649c79ae4abfdb151b56d3d170187db77757f3daa80856558ac367c",
        ),
    ),
    "mm_imdb": PublicSet(
        "plot and poster, genres (several a film); 25,959 films; https://arxiv.org/abs/1702.01992",
        "https://archive.org/download/mmimdb",
        "none stated; posters and plots are of others",
        "some 8 GB",
        mm_imdb,
        urls=("https://archive.org/download/mmimdb/mmimdb.tar.gz",),
    ),
    "flickr8k": PublicSet(
        "pictures with five captions each; 8,000 pictures",
        "https://github.com/jbrownlee/Datasets/releases/tag/Flickr8k, a copy; the makers ask for a form",
        "research and education only; pictures under the terms of Flickr",
        "some 1.1 GB",
        flickr8k,
        urls=(
            "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k/Flickr8k_Dataset.zip",
            "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k/Flickr8k_text.zip",
        ),
        checksums=(
            "md5:f18a1e2920de5bd84dae7cf08ec78978",
            "md5:bf6c1abcb8e4a833b7f922104de18627",
        ),  # after mlverse/torchvision
    ),
    "meld": PublicSet(
        "utterances of a comedy as text and video, emotion and sentiment; 13,708; https://arxiv.org/abs/1810.02508",
        "https://affective-meld.github.io",
        "GPL-3.0 for the annotations; the videos are of others",
        "some 11 GB",
        meld,
        urls=("https://web.eecs.umich.edu/~mihalcea/downloads/MELD.Raw.tar.gz",),
    ),
    "speech_commands": PublicSet(
        "one second of speech, 35 words; 105,829 recordings; version 0.02; https://arxiv.org/abs/1804.03209",
        "https://www.tensorflow.org/datasets/catalog/speech_commands",
        "CC BY 4.0",
        "2.3 GB",
        speech_commands,
        urls=("https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz",),
        checksums=("sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",),  # after torchaudio
    ),
    "mosi": PublicSet(
        "opinions on films as text and video, sentiment from -3 to 3; 2,199 clips; https://arxiv.org/abs/1606.06259",
        "https://github.com/thuiar/MMSA, whose readme links the files",
        "research only; see http://multicomp.cs.cmu.edu",
        "depends on the parts chosen",
        mosi,
    ),
}


def the_one(root: Path, name: str) -> Path:
    """The file of a name anywhere below, the one highest up if there are several."""
    found = sorted(root.rglob(name), key=lambda path: (len(path.parts), path))
    if not found:
        sys.exit(f"error: no {name} below {root}; is this the data set, with all of its archives?")
    return found[0]


def path_of(root: Path, file: Path) -> str:
    """The path in the table; it must be there, below the root."""
    if not file.resolve().is_relative_to(root.resolve()) or not file.is_file():
        sys.exit(f"error: no file {file} below {root}.")
    return file.relative_to(root).as_posix()


def check(archive: Path, checksums: tuple[str, ...]) -> None:
    """Compares with what is published, if anything is."""
    if not checksums:
        print(f"note: no checksum of {archive.name} is published; not compared")
        return
    kind = checksums[0].partition(":")[0]
    with archive.open("rb") as file:
        found = f"{kind}:{hashlib.file_digest(file, kind).hexdigest()}"
    if found not in checksums:
        sys.exit(
            f"error: {archive} has {found}; published: {', '.join(checksums)}. Is it complete, and the same version?"
        )


def download(url: str, folder: Path) -> Path:
    target = folder / url.rpartition("/")[2]
    folder.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        print(f"downloading {url}")
        urllib.request.urlretrieve(url, target.with_name(f"{target.name}.part"))
        target.with_name(f"{target.name}.part").rename(target)
    return target


def main(words: list[str]) -> None:
    options = dict(word.partition("=")[::2] for word in words if "=" in word)
    names = [word for word in words if "=" not in word]
    if len(names) != 1 or names[0] not in SETS or set(options) - {"archive", "out"}:
        print(__doc__)
        for name, one in SETS.items():
            print(f"{name}\n  {one.about}\n  source   {one.source}\n  licence  {one.licence}\n  size     {one.size}")
        sys.exit(2 if words else 0)
    chosen, out = SETS[names[0]], Path(options.get("out", f"data/{names[0]}"))
    print(f"{names[0]}: {chosen.about}\nlicence: {chosen.licence}")
    if "archive" in options:
        archives = [Path(name) for name in options["archive"].split(",")]
    elif chosen.urls:
        archives = [download(url, out.parent / "downloads") for url in chosen.urls]
    else:
        sys.exit(f"error: get it from {chosen.source}, then: python scripts/fetch.py {names[0]} archive=FILE")
    if len(archives) == 1 and archives[0].is_dir():
        out = archives[0]
    else:
        for archive in archives:
            if not archive.is_file():
                sys.exit(f"error: no file {archive}.")
            check(archive, chosen.checksums)
        unpack(archives, out)
    rows = list(chosen.rows(out))
    if not rows:
        sys.exit(f"error: no rows in {out}.")
    with (out / "manifest.csv").open("x", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows):,} rows: {out / 'manifest.csv'}; columns: {', '.join(rows[0])}")


if __name__ == "__main__":
    main(sys.argv[1:])

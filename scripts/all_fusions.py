"""The table of all fusions: every strategy on the same encoders and steps, for two tables of real data.

    python scripts/all_fusions.py av_dial.csv easy_vqa/metadata.csv             stop it, start it again: it goes on
    python scripts/all_fusions.py av_dial.csv easy_vqa/metadata.csv --dry-run   its encoders, then cells, time and disk

`av_dial.csv` is the table of `experiment=av_dial`, which needs picture, sound and sentence together: 16 strategies and
each modality alone, 5 seeds. Its encoders of picture and sound first learn, each by itself, the digits of the columns
`image_digit` and `audio_digit`, once; then they are frozen, the same for all, and each strategy has to learn from their
tokens, and a sentence that it learns to read, what the three say together. easy-VQA (https://pypi.org/project/easy-vqa/)
as a table of image, text, label and split: a tenth of its training pictures with all their questions, a table that is
written to `outputs/`; 3 seeds, questions about one test picture count as one unit; here all encoders train. The studies
lie in `outputs/studies/all_fusions_*`.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

RECIPE = ("optimizer.lr=1e-3", "schedule.warmup=0.1", "width=64")
"""For all strategies alike."""
AV_DIAL = (
    "dataset=table",
    "reader.image.size=28",
    "reader.image.channels=1",
    "reader.audio.sample_rate=8000",
    "reader.audio.seconds=1.0",
)
DIGITS = ("fusion=none", "trainer.epochs=8", "optimizer.lr=3e-3", "width=64", "num_threads=1", "seed=0")
EASY_VQA = ("dataset=table", "modalities=[image,text]", "dataset.group=image", "trainer.epochs=8", "seeds=3")


def encoder(modality: str, table: Path) -> Path:
    """The run of one encoder that learns its digits, made where it is not there."""
    name = f"all_fusions_{modality}"
    made = sorted(Path("outputs", name).glob("*/report.html"))
    if not made:
        own = [f"dataset.path={table}", f"modalities=[{modality}]", f"dataset.target={modality}_digit", f"name={name}"]
        _run(*AV_DIAL, *DIGITS, *own)
        made = sorted(Path("outputs", name).glob("*/report.html"))
    return made[-1].parent


def tenth(table: Path) -> Path:
    """Keeps all rows about every tenth training picture, and all test rows; tells what is possible without looking."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    pictures = sorted({row["image"] for row in rows if row["split"] == "train"})
    kept = set(pictures[::10])
    chosen = [row for row in rows if row["split"] != "train" or row["image"] in kept]
    path = Path("outputs") / "easy_vqa_tenth.csv"
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(chosen)
    train, test = ([row for row in chosen if row["split"] == split] for split in ("train", "test"))
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for row in train:
        answers[row["text"]][row["label"]] += 1
    ((most, _),) = Counter(row["label"] for row in train).most_common(1)
    guessed = [answers[row["text"]].most_common(1)[0][0] if row["text"] in answers else most for row in test]
    truth = [row["label"] for row in test]
    right = sum(guess == true for guess, true in zip(guessed, truth, strict=True))
    print(
        f"easy-VQA: {len(kept)} pictures with {len(train):,} questions to train on, {len(test):,} to test; floors: the "
        f"most frequent answer {truth.count(most) / len(test):.3f}, the question alone {right / len(test):.3f}"
    )
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("av_dial", type=Path)
    parser.add_argument("easy_vqa", type=Path)
    parser.add_argument("--dry-run", action="store_true")
    given = parser.parse_args()
    image, audio = (encoder(modality, given.av_dial) for modality in ("image", "audio"))
    studies = {
        "av_dial": (
            *AV_DIAL,
            "modalities=[image,audio,text]",
            f"dataset.path={given.av_dial}",
            f"tuning.init_from={{image: {image}, audio: {audio}}}",
            "tuning.freeze={image: all, audio: all}",
            "trainer.epochs=12",
            "seeds=5",
        ),
        "easy_vqa": (
            *EASY_VQA,
            f"dataset.path={tenth(given.easy_vqa)}",
            f"dataset.data_root={given.easy_vqa.resolve().parent}",
            "group=image",
        ),
    }
    for name, words in studies.items():
        _run("study", "all_fusions", f"name=all_fusions_{name}", *words, *RECIPE, f"dry_run={given.dry_run}".lower())


def _run(*words: str) -> None:
    """An mmtrain command; its failure ends the script."""
    code = subprocess.run([sys.executable, "-m", "mmtrain", *words], check=False).returncode
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()

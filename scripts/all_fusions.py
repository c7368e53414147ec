"""The table of all fusions: every strategy on the same encoders and steps, for two tables of real data.

    python scripts/all_fusions.py av_dial.csv easy_vqa/metadata.csv             stop it, start it again: it goes on
    python scripts/all_fusions.py av_dial.csv easy_vqa/metadata.csv --dry-run   cells, time and disk only

`av_dial.csv` is the table of `experiment=av_dial`, which needs picture, sound and sentence together: 16 strategies and
each modality alone, 5 seeds. easy-VQA (https://pypi.org/project/easy-vqa/) as a table of image, text, label and split:
a tenth of its training pictures with all their questions, a table that is written to `outputs/`; 3 seeds, questions
about one test picture count as one unit. The studies lie in `outputs/studies/all_fusions_*`.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

RECIPE = ("optimizer.lr=1e-3", "schedule.warmup=0.1")
"""For all strategies alike; those of attention do not learn at 3e-3."""
AV_DIAL = ("experiment=av_dial", "trainer.epochs=12", "seeds=5")
EASY_VQA = ("dataset=table", "modalities=[image,text]", "dataset.group=image", "trainer.epochs=12", "seeds=3")


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
    studies = {
        "av_dial": (f"dataset.path={given.av_dial}", *AV_DIAL),
        "easy_vqa": (
            f"dataset.path={tenth(given.easy_vqa)}",
            f"dataset.data_root={given.easy_vqa.resolve().parent}",
            *EASY_VQA,
            "group=image",
        ),
    }
    for name, words in studies.items():
        command = [sys.executable, "-m", "mmtrain", "study", "all_fusions", f"name=all_fusions_{name}", *words, *RECIPE]
        code = subprocess.run([*command, f"dry_run={str(given.dry_run).lower()}"], check=False).returncode
        if code:
            sys.exit(code)


if __name__ == "__main__":
    main()

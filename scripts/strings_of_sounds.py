"""Makes longer recordings with transcripts out of a table of short ones: strings of spoken digits from single digits.

    python scripts/strings_of_sounds.py digits/metadata.csv strings/ held_out=theo
    python scripts/strings_of_sounds.py digits/metadata.csv strings/ rows=2000 low=3 high=7 seed=1

The table needs the columns `audio`, `text`, `speaker` and `split` (train, val or test); sounds are WAV files, mono, of
16 bit and one rate. A string joins `low` to `high` sounds of one speaker and one split, 0.05 to 0.2 s apart. The
speaker that `held_out` names makes the test strings, all others those of train and val; without it the table's own
test sounds make them. One train sound in ten is kept for the strings of val, where the table has none for them. Of all
`rows`, 80 % are strings of train, 5 % of val, 15 % of test. Writes WAV files and `strings.csv` with the columns audio,
text, speaker, split, for `dataset=table dataset.target=text` and `task=speech_recognition`.
"""

from __future__ import annotations

import csv
import sys
import wave
from collections import defaultdict
from pathlib import Path

import numpy as np

SHARES = {"train": 0.8, "val": 0.05, "test": 0.15}


def main(arguments: list[str]) -> int:
    """Makes the strings; returns 0, or 2 for a wrong command line."""
    options = dict(word.split("=", 1) for word in arguments if "=" in word)
    paths = [word for word in arguments if "=" not in word]
    if len(paths) != 2 or options.keys() - {"rows", "low", "high", "seed", "held_out"}:
        print(__doc__)
        return 2
    make(
        Path(paths[0]),
        Path(paths[1]),
        rows=int(options.get("rows", 2000)),
        low=int(options.get("low", 3)),
        high=int(options.get("high", 7)),
        seed=int(options.get("seed", 0)),
        held_out=options.get("held_out"),
    )
    return 0


def make(table: Path, folder: Path, *, rows: int, low: int, high: int, seed: int, held_out: str | None) -> None:
    """Writes the strings of all splits."""
    random = np.random.RandomState(seed)
    pools = parted(table, held_out)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "strings.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["audio", "text", "speaker", "split"])
        for split, speakers in pools.items():
            for number in range(round(rows * SHARES[split])):
                speaker = sorted(speakers)[random.randint(len(speakers))]
                sounds = speakers[speaker]
                chosen = [sounds[place] for place in random.randint(len(sounds), size=random.randint(low, high + 1))]
                name = f"{split}_{number:05d}.wav"
                join([path for path, _ in chosen], folder / name, random)
                writer.writerow([name, " ".join(text for _, text in chosen), speaker, split])


def parted(table: Path, held_out: str | None) -> dict[str, dict[str, list[tuple[Path, str]]]]:
    """Sounds and their texts by split and speaker."""
    pools: dict[str, defaultdict[str, list[tuple[Path, str]]]] = {split: defaultdict(list) for split in SHARES}
    with table.open(newline="", encoding="utf-8") as file:
        listed = list(csv.DictReader(file))
    own_val = any(row["split"] == "val" for row in listed)
    for number, row in enumerate(listed):
        split = row["split"]
        if held_out is not None and (row["speaker"] == held_out or split == "test"):
            if row["speaker"] != held_out:
                continue
            split = "test"
        if split == "train" and not own_val and number % 10 == 0:
            split = "val"
        pools[split][row["speaker"]].append((table.parent / row["audio"], row["text"]))
    return {split: dict(speakers) for split, speakers in pools.items()}


def join(paths: list[Path], output: Path, random: np.random.RandomState) -> None:
    """One WAV file of several, with pauses between them."""
    parts, rates = [], set()
    for path in paths:
        with wave.open(str(path)) as file:
            if (file.getnchannels(), file.getsampwidth()) != (1, 2):
                raise SystemExit(f"{path}: expected mono sound of 16 bit")
            rates.add(file.getframerate())
            parts.append(np.frombuffer(file.readframes(file.getnframes()), "<i2"))
        parts.append(np.zeros(int(random.uniform(0.05, 0.2) * file.getframerate()), "<i2"))
    if len(rates) > 1:
        raise SystemExit(f"{output}: its sounds have the rates {sorted(rates)}; bring them to one")
    with wave.open(str(output), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rates.pop())
        file.writeframes(np.concatenate(parts[:-1]).tobytes())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Built-in data: three modalities made in memory from one seed in seconds, with a known ceiling for every subset.

Pictures are the handwritten digits of scikit-learn (UCI "Optical Recognition of Handwritten Digits", 8x8 pixels),
sounds are beeps to be counted (`builtin_beeps`), sentences come from frames (`builtin_sentences`). Each split has
pictures, sounds and frames of its own. Within a split every combination of digit, beeps and direction occurs equally
often, so what a model can know from a subset of the modalities is a matter of counting: a test accuracy above the
ceiling of what the model saw means that something leaks.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from typing import Annotated, Literal, NamedTuple

import numpy as np

from mmtrain.contracts import Cell, Range
from mmtrain.data.builtin.beeps import beep_clip
from mmtrain.data.builtin.sentences import sentences
from mmtrain.seeding import key


class _Row(NamedTuple):
    """What a row is about, before it is drawn, played and said."""

    digit: int
    beeps: int
    direction: str

    def label(self) -> int:
        match self.direction:
            case "look":
                return self.digit
            case "listen":
                return self.beeps
            case "add":
                return (self.digit + self.beeps) % 10
        return (self.digit - self.beeps) % 10


@dataclass(frozen=True)
class _Variant:
    digits: Sequence[int]
    beeps: Sequence[int]
    directions: Sequence[str]
    step: str = ""
    modalities: Sequence[str] = ("text", "image", "audio")

    def rows(self) -> list[_Row]:
        return [_Row(*values) for values in product(self.digits, self.beeps, self.directions)]


_VARIANTS = {
    "look_or_listen": _Variant(range(1, 7), range(1, 7), ("look", "listen")),
    "text_image": _Variant(range(10), (1,), ("add", "take"), step="one", modalities=("text", "image")),
    "arithmetic": _Variant(range(10), range(1, 7), ("add", "take"), step="the beeps"),
}
_PICTURES = {"train": (0.0, 0.6), "val": (0.6, 0.7), "test": (0.7, 1.0)}  # which part of each digit's pictures


class BuiltinSource:
    """Digits, beeps and sentences; a `DataSource`.

    Variants, all with balanced classes; ceilings are of text / image / audio / best pair / all:

    - `look_or_listen`: the sentence says whether the digit (1-6) or the number of beeps (1-6) is the label;
      .167 / .583 / .583 / .583 / 1.
    - `text_image`: the sentence says add or take one; label = (digit ± 1) mod 10; .1 / .5 / - / 1.
    - `arithmetic`: label = (digit ± number of beeps) mod 10; .1 / .167 / .1 / .583 / 1.

    Args:
        variant: The question that is asked.
        train_rows: Rows to learn from; like the other two a multiple of the number of combinations
            (72, 20 and 120 for the three variants).
        val_rows: Rows to choose the best checkpoint by.
        test_rows: Rows to judge by.
        seed: Decides everything that is drawn.

    Raises:
        ValueError: The variant is unknown, or a number of rows is no multiple of the combinations.
    """

    kinds: Mapping[str, str]
    targets: Sequence[str]
    ids: Sequence[str]
    splits: Mapping[str, Sequence[int]]
    split_origin: str
    notes: Sequence[str]
    ceilings: Mapping[str, float]

    def __init__(
        self,
        *,
        variant: Literal["look_or_listen", "text_image", "arithmetic"] = "look_or_listen",
        train_rows: Annotated[int, Range(1)] = 2880,
        val_rows: Annotated[int, Range(1)] = 360,
        test_rows: Annotated[int, Range(1)] = 720,
        seed: Annotated[int, Range(0)] = 0,
    ) -> None:
        if variant not in _VARIANTS:
            raise ValueError(f"`variant` (={variant}) is not one of {', '.join(_VARIANTS)}.")
        self._variant = _VARIANTS[variant]
        self.kinds = {name: name for name in self._variant.modalities}
        self.targets = ("label",)
        self.notes = ()
        self.split_origin = "built in, balanced; no picture, sound or sentence in two splits"
        self._cells: list[dict[str, str | bytes]] = []
        self._labels: list[str] = []
        ids: list[str] = []
        splits: dict[str, range] = {}
        pictures = _pictures(seed)
        for split, count in (("train", train_rows), ("val", val_rows), ("test", test_rows)):
            rows = self._balanced(f"{split}_rows", count, _random(seed, variant, split, "order"))
            splits[split] = range(len(ids), len(ids) + count)
            ids += [f"{split}-{number:04d}" for number in range(count)]
            self._labels += [str(row.label()) for row in rows]
            self._cells += self._draw(rows, split, pictures, _random(seed, variant, split, "sound"))
        self.ids, self.splits = ids, splits
        self.ceilings = self._ceilings(rows)  # of test, the split drawn last

    def _ceilings(self, rows: Sequence[_Row]) -> dict[str, float]:
        seen: dict[str, list[str | int]] = {
            "text": [row.direction for row in rows],
            "image": [row.digit for row in rows],
            "audio": [row.beeps for row in rows],
        }
        return ceilings({name: seen[name] for name in self.kinds}, [row.label() for row in rows])

    def _balanced(self, name: str, count: int, random: np.random.RandomState) -> list[_Row]:
        """Every combination equally often, in random order."""
        every = self._variant.rows()
        if count < 1 or count % len(every):
            nearest = max(1, round(count / len(every))) * len(every)
            raise ValueError(f"`{name}` (={count}) must be a multiple of {len(every)}; try {name}={nearest}.")
        return [every[number % len(every)] for number in random.permutation(count)]

    def _draw(
        self, rows: list[_Row], split: str, pictures: Mapping[int, list[bytes]], random: np.random.RandomState
    ) -> list[dict[str, str | bytes]]:
        """Cells of the rows; pictures and sentences are used in turn."""
        first, last = _PICTURES[split]
        used: Counter[int] = Counter()
        cells = []
        for number, row in enumerate(rows):
            said = sentences(row.direction, split, self._variant.step)
            pool = pictures[row.digit]
            pool = pool[round(first * len(pool)) : round(last * len(pool))]
            cell: dict[str, str | bytes] = {
                "text": said[number % len(said)],
                "image": pool[used[row.digit] % len(pool)],
            }
            if "audio" in self.kinds:
                cell["audio"] = beep_clip(row.beeps, random)
            used[row.digit] += 1
            cells.append(cell)
        return cells

    def present(self, row: int, name: str) -> bool:
        return name in self._cells[row]

    def cell(self, row: int, name: str) -> Cell | None:
        return self._cells[row].get(name)

    def target(self, row: int, name: str) -> str | None:
        return self._labels[row] if name == "label" else None

    def place(self, row: int, name: str | None = None) -> str:
        return f"built-in row {self.ids[row]}" + (f", `{name}`" if name else "")

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for identity, label, cells in zip(self.ids, self._labels, self._cells, strict=True):
            for value in (identity, label, *cells.values()):
                content = value if isinstance(value, bytes) else value.encode()
                digest.update(f"{len(content)}:".encode() + content)
        return digest.hexdigest()


def ceilings(seen: Mapping[str, Sequence[Hashable]], labels: Sequence[Hashable]) -> dict[str, float]:
    """The best accuracy that is possible on these rows from each subset of what can be seen.

    Args:
        seen: What each modality tells about each row.
        labels: The right answer of each row.

    Returns:
        By subset, such as "text+image", names in the order of `seen`: the share of rows whose label is the most
        frequent one among the rows that look alike.
    """
    result = {}
    for size in range(1, len(seen) + 1):
        for names in combinations(seen, size):
            alike: defaultdict[tuple[Hashable, ...], Counter[Hashable]] = defaultdict(Counter)
            for *what, label in zip(*(seen[name] for name in names), labels, strict=True):
                alike[tuple(what)][label] += 1
            result["+".join(names)] = sum(max(counts.values()) for counts in alike.values()) / len(labels)
    return result


@cache
def _pictures(seed: int) -> dict[int, list[bytes]]:
    """PNG files (8x8, grey) of each digit, in an order given by the seed."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    pictures: dict[int, list[bytes]] = {digit: [] for digit in range(10)}
    for number in _random(seed, "pictures").permutation(len(digits.images)):
        buffer = io.BytesIO()
        Image.fromarray((digits.images[number] * (255 / 16)).astype(np.uint8)).save(buffer, "PNG")
        pictures[int(digits.target[number])].append(buffer.getvalue())
    return pictures


def _random(*parts: int | str) -> np.random.RandomState:
    """NumPy's frozen generator: the data stay the same in every later version of NumPy."""
    return np.random.RandomState(key(*parts) % 2**32)

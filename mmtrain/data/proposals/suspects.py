"""Finds columns that give the target away: they would not be there when the model is used, or they are the label again.

A column is suspected where its value tells the target on rows that were not looked at to learn how, or stands in the
target itself. Several columns of categories are tried together too: a label may be computed from three of them.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from mmtrain.data.proposals.inference import Column, few
from mmtrain.seeding import key

PURITY = 0.95  # share of held-out rows whose target the value tells
_MOST_ROWS = 20_000
_MOST_JOINED = 12  # columns of which every one is tried to be left out
_LEAST_ROWS = 10  # held-out rows of a known value: fewer prove nothing


def suspects(columns: Sequence[Column], cells: Mapping[str, Sequence[str]], target: Column) -> dict[str, str]:
    """The columns that seem to give the target away, with the reason.

    Args:
        columns: Those that could be used as modalities; files are not looked into.
        cells: The cells of every column of the table.
        target: The target, as inferred.
    """
    labels = cells[target.name]
    labelled = [row for row in range(len(labels)) if labels[row].strip()]
    step = max(1, len(labelled) // _MOST_ROWS)
    rows = labelled[::step]
    learned = [row for row in rows if key(0, row, "suspect") % 2]
    held_out = [row for row in rows if not key(0, row, "suspect") % 2]

    def told(names: Sequence[str], least: int) -> float | None:
        return _purity([cells[name] for name in names], labels, learned, held_out, least)

    found: dict[str, str] = {}
    candidates = [column for column in columns if column.role in ("text", "number", "category", "tags")]
    for column in candidates:
        filled = sum(bool(cell.strip()) for cell in cells[column.name])
        share = _contained(cells[column.name], labels, rows, target.separator)
        if share is not None:
            found[column.name] = f"its value stands in `{target.name}` in {share:.0%} of rows"
        elif few(column.distinct, filled) or target.role == "text":
            purity = told([column.name], _LEAST_ROWS)
            if purity is not None:
                found[column.name] = f"it tells `{target.name}` in {purity:.1%} of held-out rows"
    tabular = [column.name for column in candidates if column.kind == "tabular" and column.name not in found]
    joined = [c.name for c in candidates if c.name in tabular and few(c.distinct, len(labels))][:_MOST_JOINED]
    half = max(_LEAST_ROWS, len(held_out) // 2)  # of many columns few rows are alike, and those may be so in all
    purity = told(joined, half) if len(joined) > 1 else None
    if purity is not None:
        for name in list(joined):
            others = [other for other in joined if other != name]
            less = told(others, half) if len(others) > 1 else None
            if less is not None:
                joined, purity = others, less
        for name in joined:
            found[name] = f"{' and '.join(joined)} together tell `{target.name}` in {purity:.1%} of held-out rows"
    return found


def _purity(
    columns: Sequence[Sequence[str]],
    labels: Sequence[str],
    learned: Sequence[int],
    held_out: Sequence[int],
    least: int,
) -> float | None:
    """Share of held-out rows of a known value whose commonest label is theirs; None where that proves nothing."""
    labels_of: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for row in learned:
        labels_of[tuple(cells[row] for cells in columns)][labels[row]] += 1
    commonest = {value: counts.most_common(1)[0][0] for value, counts in labels_of.items()}
    guesses = [(commonest.get(tuple(cells[row] for cells in columns)), labels[row]) for row in held_out]
    known = [(guess, label) for guess, label in guesses if guess is not None]
    if len(known) < least:
        return None
    purity = sum(guess == label for guess, label in known) / len(known)
    base = Counter(label for _, label in known).most_common(1)[0][1] / len(known)
    # Where nearly all rows have one label anything tells it: half of the errors of that guess must be gone too.
    return purity if purity >= PURITY and 1 - purity <= (1 - base) / 2 else None


def _contained(cells: Sequence[str], labels: Sequence[str], rows: Sequence[int], separator: str) -> float | None:
    """Share of rows whose cell stands in the label, as a tag or as whole words; None where that may be chance."""
    both = [row for row in rows if cells[row].strip()][:2000]
    if len(both) < _LEAST_ROWS:
        return None
    shifted = both[len(both) // 2 :] + both[: len(both) // 2]

    def share(others: Sequence[int]) -> float:
        pairs = zip(both, others, strict=True)
        return sum(_stands_in(cells[row], labels[other], separator) for row, other in pairs) / len(both)

    own = share(both)
    return own if own >= 0.5 and own >= 2 * share(shifted) else None


def _stands_in(cell: str, label: str, separator: str) -> bool:
    if separator:
        return _plain(cell) in [_plain(tag) for tag in label.split(separator)]
    return _plain(cell) in _plain(label)


def _plain(text: str) -> str:
    """Words between spaces, so that `cat` stands in `a cat` and not in `catalogue`; a Chinese character is a word."""
    words = re.findall("[\u3040-\u30ff\u3400-\u9fff]|[^\\W\u3040-\u30ff\u3400-\u9fff]+", text.casefold())
    return f" {' '.join(words)} " if words else f" {text.casefold().strip()} "

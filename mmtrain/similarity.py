"""Unit vectors held against one another: what is nearest to what, and how often that is right."""

from __future__ import annotations

import numpy as np

_AMONG = (1, 5, 10)
_DIGITS = 5  # cosines are rounded: vectors of equal texts are equal, whatever batch they were computed in


def search(queries: np.ndarray, gallery: np.ndarray, labels: np.ndarray | None) -> dict[str, float]:
    """How well the vectors of one modality find those of another: queries and gallery [N,E], labels [N]."""
    there = np.flatnonzero(~np.isnan(gallery[:, 0]))
    asked = np.flatnonzero(~np.isnan(queries[:, 0]) & ~np.isnan(gallery[:, 0]))
    ranks, hits = [], []
    for rows in np.array_split(asked, max(1, len(asked) // 1024)):
        scores = np.round(queries[rows] @ gallery[there].T, _DIGITS)
        own = scores[np.arange(len(rows)), np.searchsorted(there, rows)][:, None]
        ranks.append((scores > own).sum(axis=1) + ((scores == own).sum(axis=1) + 1) / 2)
        if labels is not None and len(rows):
            found = labels[there[scores.argmax(axis=1)]]
            hits.append((found == labels[rows])[labels[rows] >= 0])
    rank, count = np.concatenate(ranks), max(1, len(there))
    nothing = float("nan")
    result = {f"recall_at_{k}": float((rank <= k).mean()) if len(rank) else nothing for k in _AMONG}
    result["median_rank"] = float(np.median(rank)) if len(rank) else nothing
    if labels is not None:
        hit = np.concatenate(hits) if hits else np.empty(0)
        result["precision_at_1"] = float(hit.mean()) if len(hit) else nothing
        known = labels[asked][labels[asked] >= 0]
        shares = (labels[there][None, :] == known[:, None]).mean(axis=1) if len(known) and len(there) else np.empty(0)
        result["chance_precision_at_1"] = float(shares.mean()) if len(shares) else nothing
    return {**result, **{f"chance_recall_at_{k}": min(1.0, k / count) for k in _AMONG}}


def nearest(queries: np.ndarray, gallery: np.ndarray, *, count: int) -> list[list[tuple[int, float]]]:
    """The rows of the gallery that are most like each query, and their cosines; none for a query of nan.

    Args:
        queries: Unit vectors [Q,E].
        gallery: Unit vectors [N,E]; rows of nan are passed over.
        count: The most rows for a query.
    """
    there = np.flatnonzero(~np.isnan(gallery[:, 0]))
    found: list[list[tuple[int, float]]] = []
    for query in queries:
        scores = gallery[there] @ query
        order = np.argsort(-np.round(scores, _DIGITS), kind="stable")[: 0 if np.isnan(query[0]) else count]
        found.append([(int(there[place]), float(scores[place])) for place in order])
    return found

"""False accepts and false rejects of a detector that accepts what scores above a threshold, over all thresholds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_FEW = 0.01


class ErrorRates(NamedTuple):
    """Shares at each threshold, from one that accepts nothing to one that accepts all."""

    accepted: np.ndarray  # of what is to be rejected, the share that is accepted; rises
    rejected: np.ndarray  # of what is to be accepted, the share that is rejected; falls

    def scores(self) -> dict[str, float]:
        """`equal_error_rate`, where both are equal, and the false rejects at no more than 1 % of false accepts.

        Between two thresholds the equal rate lies on the line that joins them. Both are nan where the rows hold only
        one of the two.
        """
        if np.isnan(self.accepted).any() or np.isnan(self.rejected).any():
            return {"equal_error_rate": float("nan"), "false_rejects_at_1_percent": float("nan")}
        gap = self.accepted - self.rejected  # from -1 to 1, rising
        after = int(np.argmax(gap >= 0))
        share = -gap[after - 1] / (gap[after] - gap[after - 1])
        equal = self.accepted[after - 1] + share * (self.accepted[after] - self.accepted[after - 1])
        few = self.rejected[self.accepted <= _FEW].min()
        return {"equal_error_rate": float(equal), "false_rejects_at_1_percent": float(few)}

    def points(self) -> list[tuple[float, float]]:
        """False accepts and false rejects in percent; none where the rows hold only one of the two."""
        if np.isnan(self.accepted).any() or np.isnan(self.rejected).any():
            return []
        return list(zip((100 * self.accepted).tolist(), (100 * self.rejected).tolist(), strict=True))


def error_rates(scores: np.ndarray, wanted: np.ndarray) -> ErrorRates:
    """The rates at each distinct score: scores [N], wanted [N] bool, whether a row is to be accepted."""
    from sklearn.metrics import roc_curve

    if wanted.all() or not wanted.any():
        return ErrorRates(np.full(1, np.nan), np.full(1, np.nan))
    accepted, found, _ = roc_curve(wanted, scores, drop_intermediate=False)
    return ErrorRates(accepted, 1 - found)

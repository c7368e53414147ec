"""Says what is known of a step whose loss or gradient is nan or infinite."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from mmtrain.contracts import Batch, Outputs
from mmtrain.errors import NonFiniteError
from mmtrain.rows import tensors

_NAMED = 20  # ids in a message


def non_finite(step: int, loss: float, micros: Sequence[Batch], outputs: Sequence[Outputs]) -> NonFiniteError:
    """The error of a step, naming the rows with a non-finite output, or all of the batch where there are none.

    Args:
        step: Counted from 1.
        loss: Of the whole step; the gradient is at fault where it is finite.
        micros: The parts of the batch.
        outputs: Of the head for each part; of these, tensors [B,...] are looked at.
    """
    culprits = [
        name
        for batch, output in zip(micros, outputs, strict=True)
        for row, name in enumerate(batch.ids)
        if not all(bool(torch.isfinite(tensor[row]).all()) for tensor in tensors(output) if len(tensor) == len(batch))
    ]
    ids = culprits or [name for batch in micros for name in batch.ids]
    return NonFiniteError(
        f"the {'gradient' if math.isfinite(loss) else 'loss'} at step {step} is not finite; the weights are untouched. "
        f"{'Rows with a non-finite output' if culprits else 'Rows of the batch'}: {', '.join(ids[:_NAMED])}"
        f"{', ...' if len(ids) > _NAMED else ''}. Try a lower `optimizer.lr` or `trainer.clip_norm`."
    )

"""Stored features: a projection, then whatever reads them over time; one token a step.

For arrays that another network has made: [D] a sample, or [T,D] with time first. Each step goes through a linear map,
LayerNorm (Ba et al. 2016, https://arxiv.org/abs/1607.06450), which takes the scale of the features away, and GELU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from torch import Tensor, nn

from mmtrain.contracts import Range, Signal, SignalSpec, Tokens
from mmtrain.layers import zeroed
from mmtrain.temporal import OverTime


class FeatureSequence(nn.Module):
    """Reads stored features.

    Args:
        spec: A modality of features.
        hidden_size: Width that each step is brought to.
        dropout: On the projected steps.
        time: What reads the steps in order, such as TimeGRU; None: each step stays by itself.

    Raises:
        ValueError: The modality holds something else.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        hidden_size: Annotated[int, Range(1)] = 128,
        dropout: Annotated[float, Range(0, 1)] = 0.1,
        time: Callable[[int], OverTime] | None = None,
    ) -> None:
        super().__init__()
        if len(spec.shape) != 1:
            raise ValueError(f"reads features [D], but modality `{spec.name}` is {spec.kind} of shape {spec.shape}")
        self.fixed = spec.length == 1
        self.projection = nn.Sequential(
            nn.Linear(spec.shape[0], hidden_size), nn.LayerNorm(hidden_size), nn.GELU(), nn.Dropout(dropout)
        )
        self.time = time(hidden_size) if time else None
        self.width = self.time.width if self.time else hidden_size

    def forward(self, signal: Signal) -> Tokens:
        """Features [B,D] -> [B,1,width]; [B,T,D] -> [B,T,width]."""
        values = zeroed(signal)
        projected: Tensor = self.projection(values.unsqueeze(1) if self.fixed else values)  # [B,T,hidden_size]
        tokens = Tokens(projected, signal.mask)
        return self.time(tokens) if self.time else tokens

"""Two convolutions and a dense layer: a whole picture as one token, the textbook classifier.

32 and 64 filters of 3x3 with ReLU, flattened, dense, as in the first examples of Keras and PyTorch. Differs: a size
that would make the dense layer explode is refused instead of filling the memory.
"""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor, nn

from mmtrain.contracts import Range, Signal, SignalSpec, Tokens
from mmtrain.layers import picture_shape, zeroed


class Conv2(nn.Module):
    """Turns a picture into one vector.

    Args:
        spec: A picture modality.
        hidden_size: D of the token.
        pool: Side of the max pooling after each convolution; 1: none.
        max_features: The most numbers that the dense layer may read.

    Raises:
        ValueError: The modality holds no pictures, or flattening gives more than `max_features`.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        hidden_size: Annotated[int, Range(1)] = 128,
        pool: Literal[1, 2] = 2,
        max_features: Annotated[int, Range(1)] = 65536,
    ) -> None:
        super().__init__()
        channels, height, width = picture_shape(spec)
        for _ in range(2):
            height, width = -(-height // pool), -(-width // pool)
        features = 64 * height * width
        if features > max_features:
            raise ValueError(
                f"flattens {spec.shape[1]}x{spec.shape[2]} pictures to {features:,} features, over `max_features`"
                f" (={max_features:,}); set `pool` to 2 or lower `reader.{spec.name}.size`."
            )
        self.width = hidden_size
        # The maximum of rectified values is the rectified maximum: pooled first, ReLU has a quarter to do.
        after = [nn.MaxPool2d(pool, ceil_mode=True), nn.ReLU()] if pool > 1 else [nn.ReLU()]
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 32, 3, padding=1),
            *after,
            nn.Conv2d(32, 64, 3, padding=1),
            *after,
            nn.Flatten(),
            nn.Linear(features, hidden_size),
            nn.ReLU(),
        )

    def forward(self, signal: Signal) -> Tokens:
        """Pictures [B,C,H,W] -> [B,1,hidden_size]."""
        vector: Tensor = self.layers(zeroed(signal))
        return Tokens(vector.unsqueeze(1), signal.mask[:, :1])

"""wav2vec 2.0, HuBERT and WavLM as torchaudio builds them: one token in about 20 ms of sound.

Baevski et al. 2020, https://arxiv.org/abs/2006.11477; Hsu et al. 2021, https://arxiv.org/abs/2106.07447; Chen et al.
2021, https://arxiv.org/abs/2110.13900. Differs: no layer is dropped at random; and a network never sees padding, which
the base models cannot mask: sounds of each length pass by themselves. Fixed windows are one length.
"""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor, nn

from mmtrain.contracts import Range, Signal, SignalSpec, Tokens
from mmtrain.waveforms import by_length, field_of_view, require_rate
from mmtrain.weights import load_weights, locate

_RATE = 16000  # Hz, of all of them
_CONVOLUTIONS = [(10, 5), *[(3, 2)] * 4, *[(2, 2)] * 2]  # kernel and stride, of all of them

_Wav2Vec2 = Literal["wav2vec2_base", "wav2vec2_large", "wav2vec2_large_lv60k"]
_Others = Literal["hubert_base", "hubert_large", "wavlm_base", "wavlm_large"]


class Wav2Vec2(nn.Module):
    """Turns a sound into tokens.

    Args:
        spec: A sound modality of 16 kHz.
        name: An architecture of torchaudio.models.
        weights: A `.pth` or `.safetensors` state dict of it, or None for random ones.
        num_layers: Layers of the Transformer that are kept, from the first; None: all.

    Raises:
        ValueError: The modality is no sound or of another rate, there are fewer layers, or the weights do not fit.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        name: _Wav2Vec2 | _Others = "wav2vec2_base",
        weights: str | None = None,
        num_layers: Annotated[int, Range(1)] | None = None,
    ) -> None:
        super().__init__()
        from torchaudio import models

        require_rate(spec, name, _RATE)
        self.network = getattr(models, name)(encoder_layer_drop=0.0)
        if weights is not None:
            load_weights(self.network, locate(weights, {}, f"encoder.{spec.name}.weights"))
        transformer = self.network.encoder.transformer
        count = len(transformer.layers)
        if num_layers is not None and num_layers > count:
            raise ValueError(f"`num_layers` (={num_layers}): {name} has {count}; choose at most so many, or null.")
        transformer.layers = transformer.layers[:num_layers]
        self.width = int(self.network.encoder.feature_projection.projection.out_features)
        self.least, hop = field_of_view(_CONVOLUTIONS)
        self.hop = hop / _RATE

    def forward(self, signal: Signal) -> Tokens:
        """Sound [B,T] -> [B,L,width]; a sound too short for the first token is filled up with zeros."""
        return by_length(self._read, signal, least=self.least, hop=self.hop)

    def _read(self, sounds: Tensor) -> Tensor:
        tokens: Tensor = self.network(sounds)[0]
        return tokens

"""Audio encoders of the transformers library on waveforms, by name or from a folder: one token in about 20 ms.

wav2vec 2.0 and its kin, such as HuBERT and WavLM (Baevski et al. 2020, https://arxiv.org/abs/2006.11477). Differs: they
mask no stretches of time in training, since that draws numbers which a resumed run would not draw again; and a network
never sees padding, which some cannot mask: sounds of each length pass by themselves. Fixed windows are one length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from torch import Tensor, nn

from mmtrain.backbones import hugging_face
from mmtrain.contracts import Range, Signal, SignalSpec, Tokens
from mmtrain.waveforms import by_length, field_of_view, require_rate


class HuggingFaceAudio(nn.Module):
    """Turns a sound into tokens.

    Args:
        spec: A sound modality.
        name: A local folder as transformers saves it, or a name on the Hugging Face Hub.
        pretrained: Start from its weights; False: the same architecture with random ones.
        architecture: What its config.json says; None: read it there. A run fills it in, and needs `name` no more.
        sample_rate: Hz of the sounds that the network was made for.
        gradient_checkpointing: Saves memory: layers are computed again in the backward pass.

    Raises:
        ValueError: The modality is no sound or of another rate, or the model cannot be had or reads no waveforms.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        name: str,
        pretrained: bool = True,
        architecture: Mapping[str, object] | None = None,
        sample_rate: Annotated[int, Range(100, 192000)] = 16000,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        require_rate(spec, name, sample_rate)
        self.network = hugging_face(
            f"encoder.{spec.name}",
            name,
            part="audio_config",
            pretrained=pretrained,
            architecture=architecture,
            gradient_checkpointing=gradient_checkpointing,
            changes={"apply_spec_augment": False},
        )
        config: Any = self.network.config
        if not hasattr(config, "conv_stride"):
            raise ValueError(f"{name} reads no waveforms; take a wav2vec2, hubert or wavlm model.")
        self.width = int(config.hidden_size)
        self.least, hop = field_of_view(list(zip(config.conv_kernel, config.conv_stride, strict=True)))
        self.hop = hop / sample_rate

    def forward(self, signal: Signal) -> Tokens:
        """Sound [B,T] -> [B,L,width]; a sound too short for the first token is filled up with zeros."""
        return by_length(self._read, signal, least=self.least, hop=self.hop)

    def _read(self, sounds: Tensor) -> Tensor:
        tokens: Tensor = self.network(sounds).last_hidden_state
        return tokens

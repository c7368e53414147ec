"""Vision models of the transformers library, by name or from a folder: one token a patch or cell.

ViT and its kin (Dosovitskiy et al. 2020, https://arxiv.org/abs/2010.11929), also the picture half of CLIP. Differs:
class tokens and poolers are left out, and grey pictures are read as RGB.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from mmtrain.backbones import answer_shape, hugging_face
from mmtrain.contracts import Signal, SignalSpec, Tokens
from mmtrain.layers import grid, picture_shape, zeroed


class HuggingFaceImage(nn.Module):
    """Turns a picture into tokens.

    Args:
        spec: A picture modality with 1 or 3 channels; its mean and deviation should be those of the model's
            preprocessor_config.json.
        name: A local folder as transformers saves it, or a name on the Hugging Face Hub.
        pretrained: Start from its weights; False: the same architecture with random ones.
        architecture: What its config.json says; None: read it there. A run fills it in, and needs `name` no more.
        gradient_checkpointing: Saves memory: layers are computed again in the backward pass.

    Raises:
        ValueError: The modality holds no such pictures or of a size that it cannot take, or the model cannot be had.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        name: str,
        pretrained: bool = True,
        architecture: Mapping[str, object] | None = None,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        channels, height, width = picture_shape(spec)
        if channels not in (1, 3):
            raise ValueError(f"reads pictures of 1 or 3 channels, but modality `{spec.name}` has {channels}")
        self.network = hugging_face(
            f"encoder.{spec.name}",
            name,
            part="vision_config",
            pretrained=pretrained,
            architecture=architecture,
            gradient_checkpointing=gradient_checkpointing,
        )
        try:
            shape = answer_shape(self.network, (1, 3, height, width), return_dict=False)
        except ValueError as error:
            message = f"{name} cannot take pictures of {height} x {width} pixels ({error})"
            raise ValueError(f"{message}; set `reader.{spec.name}.size`.") from None
        self.width = shape[1] if len(shape) == 4 else shape[2]
        self.places = _places(self.network.config, height, width) if len(shape) == 3 else None
        self.prefix = 0 if self.places is None else shape[1] - self.places[0] * self.places[1]
        if self.prefix < 0:  # stages that merge patches: where a token lies cannot be told from their number
            self.places, self.prefix = None, 0

    def forward(self, signal: Signal) -> Tokens:
        """Pictures [B,C,H,W] -> [B,L,width]."""
        values: Tensor = self.network(zeroed(signal).expand(-1, 3, -1, -1)).last_hidden_state
        if values.dim() == 4:
            return grid(values, signal.mask)
        values = values[:, self.prefix :]  # [B,L,width]
        if self.places is not None:
            return grid(values.transpose(1, 2).reshape(len(values), self.width, *self.places), signal.mask)
        return Tokens(values, signal.mask.expand(-1, values.shape[1]))


def _places(config: object, height: int, width: int) -> tuple[int, int] | None:
    patch = getattr(config, "patch_size", None)
    return (height // patch, width // patch) if isinstance(patch, int) else None

"""Any image model of timm by name, without its classifier: one token a cell or patch.

Architectures and weights: https://github.com/huggingface/pytorch-image-models. Differs: pooling, classifier and class
tokens are left out, and grey pictures are read as RGB.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from mmtrain import hub
from mmtrain.backbones import WEIGHTS, answer_shape
from mmtrain.contracts import Signal, SignalSpec, Tokens
from mmtrain.layers import grid, picture_shape, zeroed
from mmtrain.suggest import did_you_mean
from mmtrain.weights import load_weights, locate

_HUB = "hub"


class TimmImage(nn.Module):
    """Turns a picture into tokens.

    Args:
        spec: A picture modality with 1 or 3 channels.
        name: A model of timm, with the tag of its weights where they come from the Hub.
        weights: "hub": those of timm on the Hugging Face Hub (downloaded once); a `.pth` or `.safetensors` state dict;
            None: random ones.
        gradient_checkpointing: Saves memory: layers are computed again in the backward pass.

    Raises:
        ValueError: There is no such model, the modality holds no such pictures or of a size that it cannot take, or
            the weights cannot be had or do not fit.
        ImportError: timm is not installed.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        name: str = "mobilenetv2_100.ra_in1k",
        weights: str | None = None,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        channels, height, width = picture_shape(spec)
        if channels not in (1, 3):
            raise ValueError(f"reads pictures of 1 or 3 channels, but modality `{spec.name}` has {channels}")
        try:
            import timm
        except ImportError:
            raise ImportError("models of timm need timm: pip install 'mmtrain[timm]'") from None
        where = f"encoder.{spec.name}"
        if not timm.is_model(name.partition(".")[0]):
            meant = did_you_mean(name, timm.list_models())
            raise ValueError(f"`{where}.name`: timm has no model '{name}'.{meant}")
        self.network: Any = cast(Any, timm.create_model(name, pretrained=False))
        classifier = self.network.pretrained_cfg["classifier"]
        names = (classifier,) if isinstance(classifier, str) else tuple(classifier or ())
        left_out = [key for key in self.network.state_dict() if key.startswith(tuple(f"{n}." for n in names))]
        self.network.reset_classifier(0, "")
        if weights is not None:
            load_weights(self.network, _located(weights, f"timm/{name}", where), ignore=left_out)
        patches: Any = getattr(self.network, "patch_embed", None)
        try:
            if patches is not None and getattr(patches, "img_size", (height, width)) != (height, width):
                self.network.set_input_size(img_size=(height, width))
            shape = answer_shape(_Features(self.network), (1, 3, height, width))
        except (ValueError, AssertionError) as error:
            message = f"{name} cannot take pictures of {height} x {width} pixels ({error})"
            raise ValueError(f"{message}; set `reader.{spec.name}.size`, 224 suits most.") from None
        self.width = int(self.network.num_features)
        self.channels_last = len(shape) == 4 and shape[1] != self.width
        self.prefix = int(getattr(self.network, "num_prefix_tokens", 0)) if len(shape) == 3 else 0
        self.places = tuple(patches.grid_size) if len(shape) == 3 and hasattr(patches, "grid_size") else None
        if gradient_checkpointing:
            self.network.set_grad_checkpointing()

    def forward(self, signal: Signal) -> Tokens:
        """Pictures [B,C,H,W] -> [B,L,width]."""
        values: Tensor = self.network.forward_features(zeroed(signal).expand(-1, 3, -1, -1))
        if values.dim() == 4:
            return grid(values.permute(0, 3, 1, 2) if self.channels_last else values, signal.mask)
        values = values[:, self.prefix :]  # [B,L,width]
        if self.places is not None:
            return grid(values.transpose(1, 2).reshape(len(values), self.width, *self.places), signal.mask)
        return Tokens(values, signal.mask.expand(-1, values.shape[1]))


class _Features(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network

    def forward(self, pictures: Tensor) -> Tensor:
        maps: Tensor = self.network.forward_features(pictures)
        return maps


def _located(weights: str, name: str, where: str) -> Path:
    if weights != _HUB:
        return locate(weights, {_HUB: name}, f"{where}.weights")
    try:
        return hub.file(name, WEIGHTS)
    except ValueError as error:
        raise ValueError(
            f"`{where}.weights` (=hub, {name}): {error}; name a local file, or null for random weights."
        ) from None

"""Any classifier of torchvision by name, without its classifier: one token a cell of its last feature map.

Architectures and weights: https://pytorch.org/vision/stable/models.html. Differs: the pooling, and what comes after it,
is left out, so that a fusion can look at the places of a picture; grey pictures are read as RGB; of a ViT the class
token is left out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mmtrain.backbones import answer_shape
from mmtrain.contracts import Signal, SignalSpec, Tokens
from mmtrain.layers import grid, picture_shape, zeroed
from mmtrain.suggest import did_you_mean
from mmtrain.weights import load_weights, locate

_AFTER_THE_MAP = ("avgpool", "flatten", "dropout", "fc", "classifier", "head", "heads")
_PROBE = 64  # pixels: the side of a picture that has five scales
_NO_ROW_OF_LAYERS = {"googlenet", "inception_v3", "maxvit_t"}  # theirs branch, or want 224 x 224 pixels and no other


class TorchvisionImage(nn.Module):
    """Turns a picture into a grid of tokens.

    Args:
        spec: A picture modality with 1 or 3 channels.
        name: A classifier of torchvision.
        weights: The name of a set of its weights (downloaded once), a `.pth` or `.safetensors` state dict, or None for
            random ones. All but a few were made with the mean and deviation of `reader/image=imagenet`.

    Raises:
        ValueError: There is no such classifier, the modality holds no such pictures or of a size that it cannot take,
            or the weights cannot be had or do not fit.
    """

    def __init__(self, spec: SignalSpec, *, name: str = "mobilenet_v3_small", weights: str | None = None) -> None:
        super().__init__()
        from torchvision.models import get_model, get_model_weights, list_models

        channels, height, width = picture_shape(spec)
        if channels not in (1, 3):
            raise ValueError(f"reads pictures of 1 or 3 channels, but modality `{spec.name}` has {channels}")
        import torchvision.models as module

        where = f"encoder.{spec.name}"
        known = sorted(set(list_models(module)) - _NO_ROW_OF_LAYERS)
        if name not in known:
            raise ValueError(f"`{where}.name`: no classifier '{name}' of torchvision here.{did_you_mean(name, known)}")
        side = {"image_size": height} if name.startswith("vit_") else {}
        if side and height != width:
            raise ValueError(f"{name} reads square pictures, but those of `{spec.name}` are {height} x {width}")
        network = get_model(name, **side)
        left_out = [key for key in network.state_dict() if key.startswith(_AFTER_THE_MAP)]
        for part in _AFTER_THE_MAP:
            if hasattr(network, part):
                delattr(network, part)
        if weights is not None:
            published = {entry.name: entry.value.url for entry in get_model_weights(name)}
            path = locate(weights, published, f"{where}.weights")
            load_weights(network, path, ignore=left_out)
        self.name, self._ends = name, dict[int, int]()
        # Named as in torchvision's state dicts.
        self.network = _PatchMap(network) if side else nn.Sequential(OrderedDict(network.named_children()))
        try:
            self.width = answer_shape(self.network, (1, 3, height, width))[1]
        except ValueError as error:
            message = f"{name} cannot take pictures of {height} x {width} pixels ({error})"
            raise ValueError(f"{message}; set `reader.{spec.name}.size`, 224 suits all.") from None

    def forward(self, signal: Signal) -> Tokens:
        """Pictures [B,C,H,W] -> [B,h*w,width]."""
        maps: Tensor = self.network(zeroed(signal).expand(-1, 3, -1, -1))  # [B,width,h,w]
        return grid(maps, signal.mask)

    def scales(self) -> list[tuple[int, int]]:
        """Pixels from place to place, and channels, of each of `maps`.

        Raises:
            ValueError: It is no convolutional network.
        """
        training, self._ends, found = self.training, {}, {}
        values = torch.zeros(1, 3, _PROBE, _PROBE)
        self.eval()  # statistics of batch norms stay as they are
        with torch.no_grad():
            for place, layer in enumerate(_in_order(self.network)):
                values = values if isinstance(layer, _PatchMap) else layer(values)
                if isinstance(layer, _PatchMap) or values.dim() != 4 or values.shape[2] != values.shape[3]:
                    raise ValueError(f"{self.name} has no scales; choose a convolutional network")
                stride = _PROBE // values.shape[3]
                self._ends[stride], found[stride] = place, values.shape[1]  # the last layer of each size
        self.train(training)
        return list(found.items())

    def maps(self, signal: Signal) -> list[Tensor]:
        """Pictures [B,C,H,W] -> a map [B,channels,h,w] of each scale, the finest first; `scales` is asked before."""
        values: Tensor = zeroed(signal).expand(-1, 3, -1, -1)
        seen, ends = [], set(self._ends.values())
        for place, layer in enumerate(_in_order(self.network)):
            values = layer(values)
            if place in ends:
                seen.append(values)
        return seen


def _in_order(network: nn.Module) -> Iterator[nn.Module]:
    """The layers of rows of layers; a stage that is no such row counts as one."""
    for layer in network if isinstance(network, nn.Sequential) else [network]:
        if type(layer) is nn.Sequential:
            yield from _in_order(layer)
        else:
            yield layer


class _PatchMap(nn.Module):
    """A Vision Transformer of torchvision that gives its patches as a map."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.vit: Any = network

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures [B,3,H,H] -> [B,D,h,h]."""
        patches: Tensor = self.vit.conv_proj(pictures)  # [B,D,h,h]
        flat = patches.flatten(2).transpose(1, 2)
        tokens = self.vit.encoder(torch.cat([self.vit.class_token.expand(len(flat), -1, -1), flat], dim=1))
        made: Tensor = tokens[:, 1:].transpose(1, 2).reshape(patches.shape)
        return made

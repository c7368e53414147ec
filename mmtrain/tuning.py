"""Which tensors of the encoders train, and how fast: frozen parts, LoRA, learning rates by part and by depth.

All of it is a function of the settings and the step, so that nothing has to be saved: a parameter trains if it requires
a gradient, and a module of which nothing does stays in eval mode.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from mmtrain.settings import TuningSettings
from mmtrain.suggest import did_you_mean

ENCODERS, FUSION, HEAD = "encoders", "fusion", "head"


class LowRank(nn.Module):
    """LoRA: a weight matrix and a trained change of low rank, W + B A.

    Hu et al. 2021, https://arxiv.org/abs/2106.09685, with their scale alpha / rank at 1: A [rank,in] starts random,
    B [out,rank] at zero, so that the network answers at first as without it. Works on any matrix, also that of torch's
    attention, since it takes the place of the tensor and not of the layer.
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        outputs, inputs = weight.shape
        self.down = nn.Parameter(torch.randn(rank, inputs) / inputs**0.5)
        self.up = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """[out,in] -> [out,in]."""
        return weight + self.up @ self.down


def tune(encoders: Mapping[str, nn.Module], settings: TuningSettings) -> None:
    """Freezes, and adds LoRA, as the settings say.

    Args:
        encoders: By modality.
        settings: `configs/tuning/default.yaml`.

    Raises:
        ValueError: A modality that there is not, a part of an encoder that it has not, or settings that do not go
            together; the message names the key.
    """
    for key in ("freeze", "unfreeze_at", "lora", "layer_decay"):
        _known(key, getattr(settings, key) or {}, list(encoders))
    _known("lr", settings.lr or {}, [*encoders, ENCODERS, FUSION, HEAD])
    for name in (settings.unfreeze_at or {}).keys() - (settings.freeze or {}).keys():
        raise ValueError(f"`tuning.unfreeze_at.{name}`: {name} is not frozen; set `tuning.freeze` for it too.")
    for name in (settings.lora or {}).keys() & (settings.freeze or {}).keys():
        raise ValueError(f"`tuning.lora.{name}` freezes the encoder by itself; leave {name} out of `tuning.freeze`.")
    for name, what in (settings.freeze or {}).items():
        _freeze(encoders[name], what, f"`tuning.freeze.{name}` (={what})")
    for name, rank in (settings.lora or {}).items():
        _add_lora(encoders[name], rank, f"`tuning.lora.{name}`")
    for name in settings.layer_decay or {}:
        _required_blocks(encoders[name], f"`tuning.layer_decay.{name}`")


def thaw(encoders: Mapping[str, nn.Module], settings: TuningSettings, step: int) -> bool:
    """Lets the encoders train whose step has come; says whether that changed anything."""
    frozen = [
        parameter
        for name, start in (settings.unfreeze_at or {}).items()
        if step >= start
        for parameter in encoders[name].parameters()
        if not parameter.requires_grad
    ]
    for parameter in frozen:
        parameter.requires_grad_(True)
    return bool(frozen)


def frozen_parts(module: nn.Module) -> Iterator[nn.Module]:
    """The largest parts that have parameters, none of which trains."""
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        yield module
    else:
        for child in module.children():
            yield from frozen_parts(child)


def blocks(module: nn.Module) -> list[nn.Module]:
    """The layers of a network in order: the members of its outermost rows of alike modules.

    A row is a Sequential or ModuleList with two members of one class: the layers of a Transformer, the stages of a
    ResNet. Members without parameters do not count.
    """
    if isinstance(module, nn.ModuleList | nn.Sequential):
        parts = [part for part in module if any(True for _ in part.parameters())]
        if parts and max(Counter(map(type, parts)).values()) > 1:
            return parts
    return [block for child in module.children() for block in blocks(child)]


def depths(encoder: nn.Module) -> dict[int, int]:
    """How deep each parameter lies under the output, by its id: 1 in the last block, 2 in the one before it.

    What is registered before the first block lies one deeper than that; what follows the last has depth 0.
    """
    rows = blocks(encoder)
    owner = {id(parameter): number for number, block in enumerate(rows, 1) for parameter in block.parameters()}
    found, passed = {}, 0
    for parameter in encoder.parameters():
        passed = owner.get(id(parameter), passed)
        follows = passed == len(rows) and id(parameter) not in owner
        found[id(parameter)] = 0 if follows else len(rows) + 1 - passed
    return found


def multipliers(model: nn.Module, encoders: Mapping[str, nn.Module], settings: TuningSettings) -> dict[int, float]:
    """What the learning rate of a parameter is multiplied by, by its id; 1 where it is left out.

    Args:
        model: Has `fusion` and `head`.
        encoders: By modality.
        settings: `configs/tuning/default.yaml`.
    """
    rates: dict[int, float] = {}
    for part in (FUSION, HEAD):
        rates |= {id(parameter): (settings.lr or {}).get(part, 1.0) for parameter in getattr(model, part).parameters()}
    for name, encoder in encoders.items():
        rate = (settings.lr or {}).get(name, (settings.lr or {}).get(ENCODERS, 1.0))
        decay = (settings.layer_decay or {}).get(name, 1.0)
        deep = depths(encoder) if decay < 1 else {}
        rates |= {id(p): rate * decay ** deep.get(id(p), 0) for p in encoder.parameters()}
    return rates


def _freeze(encoder: nn.Module, what: str | int, where: str) -> None:
    names = [name for name, _ in encoder.named_parameters()]
    if what == "all":
        chosen = set(names)
    elif isinstance(what, int):
        count = _required_blocks(encoder, where)
        if what > count:
            raise ValueError(f"{where}: the encoder has {count} blocks; choose at most so many, or all.")
        deep = depths(encoder)
        chosen = {name for name, parameter in encoder.named_parameters() if deep[id(parameter)] > count - what}
    else:
        try:
            chosen = {name for name in names if re.search(what, name)}
        except re.error as error:
            raise ValueError(f"{where} is no regular expression: {error}.") from None
        if not chosen:
            some = ", ".join(names[:: max(1, len(names) // 3)])
            raise ValueError(f"{where} matches no parameter; they are named like {some}.")
    for name, parameter in encoder.named_parameters():
        if name in chosen:
            parameter.requires_grad_(False)


def _add_lora(encoder: nn.Module, rank: int, where: str) -> None:
    encoder.requires_grad_(False)
    layers: dict[nn.Module, str] = {module: "weight" for module in encoder.modules() if isinstance(module, nn.Linear)}
    attentions = [module for module in encoder.modules() if isinstance(module, nn.MultiheadAttention)]
    layers |= {module: "in_proj_weight" for module in attentions if module.in_proj_weight is not None}
    if not layers:
        raise ValueError(f"{where}: the encoder has no linear layer; use `tuning.freeze`.")
    for module, name in layers.items():
        parametrize.register_parametrization(module, name, LowRank(getattr(module, name), rank))


def _required_blocks(encoder: nn.Module, where: str) -> int:
    count = len(blocks(encoder))
    if not count:
        raise ValueError(f"{where}: the encoder has no row of alike blocks to count; name parameters, or all.")
    return count


def _known(key: str, given: Mapping[str, object], names: Sequence[str]) -> None:
    for name in given:
        if name not in names:
            raise ValueError(f"`tuning.{key}.{name}`: expected one of {', '.join(names)}.{did_you_mean(name, names)}")

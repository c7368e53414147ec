"""Small layers and mask arithmetic that encoders, fusions and heads share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mmtrain.contracts import Fused, Signal, SignalSpec, Tokens

_MOMENTUM = 0.1  # of the running statistics of a batch norm


def require_stages(channels: Sequence[int], example: Sequence[int]) -> None:
    """Refuses channels that are none, or not all positive.

    Raises:
        ValueError: Naming them, and an example.
    """
    if not channels or min(channels) < 1:
        raise ValueError(f"`channels` (={list(channels)}) must list one positive number a stage; try {list(example)}.")


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over the real tokens: values [B,L,D], mask [B,L] -> [B,D]; zeros where a row has no real token."""
    kept = torch.where(mask.unsqueeze(-1), values, 0)  # a nan under the mask must not reach the sum
    count = mask.sum(dim=1, keepdim=True).clamp(min=1)  # [B,1]
    return kept.sum(dim=1) / count.to(values.dtype)


def lengths(mask: Tensor) -> Tensor:
    """Real steps a row, at least 1, for masks that are True first: [B,T] -> [B]."""
    return mask.sum(dim=1).clamp(min=1)


def zeroed(signal: Signal) -> Tensor:
    """The values of a signal with zeros under its mask: what lay there, even a nan, cannot travel further."""
    mask = signal.mask.view(*signal.mask.shape, *[1] * (signal.values.dim() - 2))
    return torch.where(mask, signal.values, 0)


def zero_steps(maps: Tensor, mask: Tensor) -> Tensor:
    """Zeros in the padded steps of maps [B,C,T,F], mask [B,T]; a convolution then reads there what lies past an end.

    A product, at half the time of `torch.where`: maps made from zeroed signals hold no nan under the mask.
    """
    return maps * mask[:, None, :, None]


def at_least_one(mask: Tensor) -> Tensor:
    """The mask [B,T] with the first step of every row real, for arithmetic that needs one: softmax, packing."""
    first = torch.arange(mask.shape[1], device=mask.device) == 0
    return mask | first


def presence(tokens: Mapping[str, Tokens], modalities: Sequence[str]) -> Tensor:
    """Which sample has which modality: [B,M], in the order of `modalities`."""
    return torch.stack([tokens[name].mask.any(dim=1) for name in modalities], dim=1)


def pool(tokens: Mapping[str, Tokens], modalities: Sequence[str]) -> dict[str, Tensor]:
    """The masked mean of each modality's tokens: [B,D] each; zeros where the sample lacks it."""
    return {name: masked_mean(tokens[name].values, tokens[name].mask) for name in modalities}


def join(tokens: Mapping[str, Tokens], modalities: Sequence[str]) -> tuple[Tokens, dict[str, slice]]:
    """All tokens one after another in the order of `modalities`, and whose are whose."""
    spans, start = {}, 0
    for name in modalities:
        stop = start + tokens[name].values.shape[1]
        spans[name] = slice(start, stop)
        start = stop
    values = torch.cat([tokens[name].values for name in modalities], dim=1)  # [B,sum L,D]
    mask = torch.cat([tokens[name].mask for name in modalities], dim=1)
    positions = None
    if any(tokens[name].positions is not None for name in modalities):
        positions = torch.cat([_positions(tokens[name]) for name in modalities], dim=1)
    return Tokens(values, mask, positions), spans


def _positions(tokens: Tokens) -> Tensor:
    if tokens.positions is not None:
        return tokens.positions
    return tokens.values.new_full((*tokens.mask.shape, 3), torch.nan)


class MLP(nn.Sequential):
    """Linear, GELU, dropout, Linear: [*,in_features] -> [*,out_features]."""

    def __init__(self, in_features: int, hidden_size: int, out_features: int, *, dropout: float = 0.0) -> None:
        super().__init__(
            nn.Linear(in_features, hidden_size),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_size, out_features),
        )


class MaskedBatchNorm(nn.Module):
    """Batch normalisation over the real steps only; zeros elsewhere. Ioffe and Szegedy 2015.

    Without padding it equals BatchNorm2d. With it, the statistics of a short sound do not shrink because a long one
    shares its batch. `norm` holds the parameters; in eval mode it uses its running statistics as usual.

    Args:
        num_features: C of the maps [B,C,T,F] it normalises.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(num_features, momentum=_MOMENTUM)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """Maps [B,C,T,F] and mask [B,T], with at least one real step -> [B,C,T,F]."""
        if values.device.type == "cpu" and bool(mask.all()):  # where asking is free: the fused kernel is 3 times faster
            whole: Tensor = self.norm(values.float())
            return whole
        norm, kept = self.norm, zero_steps(values.float(), mask)
        assert norm.running_mean is not None  # BatchNorm2d as built above tracks both
        assert norm.running_var is not None
        mean, variance = norm.running_mean.clone(), norm.running_var  # [C] each; a clone, as backward keeps it
        if norm.training:
            count = mask.sum() * values.shape[3]
            mean = kept.sum(dim=(0, 2, 3)) / count
            # One pass over the maps fewer than the mean of squared differences; convolutions leave means near 0.
            variance = ((kept * kept).sum(dim=(0, 2, 3)) / count - mean * mean).clamp(min=0)
            with torch.no_grad():
                norm.running_mean.lerp_(mean, _MOMENTUM)
                norm.running_var.lerp_(variance * count / (count - 1).clamp(min=1), _MOMENTUM)
        scale = norm.weight * (variance + norm.eps).rsqrt()
        shift = (norm.bias - mean * scale).view(-1, 1, 1) * mask[:, None, :, None]  # [B,C,T,1]
        return kept * scale.view(-1, 1, 1) + shift


def grid(maps: Tensor, mask: Tensor) -> Tokens:
    """Feature maps of pictures as tokens, row by row: maps [B,D,H,W], mask [B,1] -> [B,H*W,D] with y, x of each."""
    height, width = maps.shape[2:]
    y = (torch.arange(height, device=maps.device) + 0.5) / height
    x = (torch.arange(width, device=maps.device) + 0.5) / width
    rows, columns = torch.meshgrid(y, x, indexing="ij")  # [H,W] each
    positions = torch.stack([torch.full_like(rows, torch.nan), rows, columns], dim=-1)  # [H,W,3]
    count = height * width
    return Tokens(
        maps.flatten(2).transpose(1, 2),
        mask[:, :1].expand(-1, count),
        positions.view(1, count, 3).expand(len(maps), -1, -1),
    )


def sinusoids(length: int, width: int, *, like: Tensor) -> Tensor:
    """Sinusoidal positions [length,width], `width` even, for any length, on the device of `like`.

    PE(t, 2i) = sin(t / 10000^(2i/width)), PE(t, 2i+1) = cos of the same; https://arxiv.org/abs/1706.03762.
    """
    time = torch.arange(length, device=like.device).unsqueeze(1)  # [T,1]
    rate = torch.exp(torch.arange(0, width, 2, device=like.device) * (-math.log(10_000) / width))  # [D/2]
    angle = time * rate
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).to(like.dtype)


def picture_shape(spec: SignalSpec) -> tuple[int, int, int]:
    """Channels, height and width of a picture modality.

    Raises:
        ValueError: The modality holds something else.
    """
    if len(spec.shape) != 3 or spec.length > 1:
        raise ValueError(f"reads pictures [C,H,W], but modality `{spec.name}` is {spec.kind} of shape {spec.shape}")
    channels, height, width = spec.shape
    return channels, height, width


def vocabulary_size(spec: SignalSpec) -> int:
    """V of a text modality, padding and the unknown word included.

    Raises:
        ValueError: The modality has no vocabulary.
    """
    if not spec.vocabulary:
        raise ValueError(f"reads words, but modality `{spec.name}` is {spec.kind} without a vocabulary")
    return len(spec.vocabulary)


class LinearHead(nn.Module):
    """LayerNorm, dropout, Linear on the fused vector: Fused of that width -> [B,num_outputs]."""

    def __init__(self, width: int, num_outputs: int, *, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(width), nn.Dropout(dropout), nn.Linear(width, num_outputs))

    def forward(self, fused: Fused) -> Tensor:
        """Returns [B,num_outputs]."""
        outputs: Tensor = self.layers(fused.pooled)
        return outputs

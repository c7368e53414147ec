"""Facts about a fusion strategy, found by building it: what it reads, how many parameters it has, whose idea it is."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import cast

import torch
from torch import nn

from mmtrain.components import component
from mmtrain.contracts import Tokens
from mmtrain.errors import ConfigError
from mmtrain.settings import RunSettings
from mmtrain.signatures import locate

_NAMES = ("a", "b", "c", "d")
_PAPER = re.compile(r"https://[\w./-]*\w")


def facts(node: Mapping[str, object]) -> str:
    """One line about the fusion that a config node describes, at the default `width`, or why it cannot be built."""
    width = RunSettings.width
    try:
        reads = "tokens" if _tells_tokens_apart(node, width) else "vectors"
        counts = [f"{parameters(node, count, width):,}" for count in (2, 3, 4)]
    except ConfigError as error:
        return str(error)
    paper = _PAPER.search(inspect.getdoc(inspect.getmodule(locate(str(node["_target_"])))) or "")
    numbers = f"{' / '.join(counts)} parameters for 2 / 3 / 4 modalities at width {width}"
    return f"reads {reads}; {numbers}" + (f"; {paper[0]}" if paper else "")


def parameters(node: Mapping[str, object], count: int, width: int) -> int:
    """Parameters of the fusion of so many modalities; nothing is allocated."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in _built(node, count, width).parameters())


def _tells_tokens_apart(node: Mapping[str, object], width: int) -> bool:
    """Whether the result changes when every token becomes the mean of its modality's."""
    fusion = _built(node, 2, width).eval()
    generator = torch.Generator().manual_seed(0)
    mask = torch.ones(1, 2, dtype=torch.bool)
    with torch.no_grad():
        values = {name: torch.randn(1, 2, width, generator=generator) for name in _NAMES[:2]}  # [B=1,L=2,D]
        means = {name: value.mean(dim=1, keepdim=True).expand_as(value) for name, value in values.items()}
        first, second = (
            fusion({name: Tokens(value, mask) for name, value in some.items()}).pooled for some in (values, means)
        )
    return not torch.allclose(first, second, rtol=1e-4, atol=1e-5)


def _built(node: Mapping[str, object], count: int, width: int) -> nn.Module:
    return cast(nn.Module, component("fusion", node, _NAMES[:count], width))

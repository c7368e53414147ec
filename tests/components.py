"""Shipped components as their YAML files describe them, and small random inputs for them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import yaml
from torch import Tensor, nn

from mmtrain.blocks import AttentionBlock
from mmtrain.components import factory
from mmtrain.contracts import Cell, ColumnSpec, Signal, SignalSpec, Tokens
from mmtrain.protocols import Reader

TESTS = Path(__file__).resolve().parent
CONFIGS = TESTS.parent / "configs"

SPECS = {
    "text": SignalSpec("text", "text", length=7, vocabulary=("<pad>", "<unknown>", *"abcdefghij")),
    "image": SignalSpec("image", "image", shape=(3, 10, 13)),
    "audio": SignalSpec("audio", "audio", length=1003, sample_rate=4000),
    "video": SignalSpec("video", "video", shape=(3, 10, 13), length=5),
    "features": SignalSpec("features", "features", shape=(5,), length=6),
    "tabular": SignalSpec(
        "tabular", "tabular", length=4, columns=(ColumnSpec(("a", "b")), ColumnSpec(), ColumnSpec(("c",)), ColumnSpec())
    ),
}
SMALLEST = {
    "text": replace(SPECS["text"], length=1),
    "image": replace(SPECS["image"], shape=(1, 1, 1)),
    "audio": replace(SPECS["audio"], length=1),
    "video": replace(SPECS["video"], shape=(1, 1, 1), length=2),
    "tabular": replace(SPECS["tabular"], length=1, columns=(ColumnSpec(),)),
    "features": replace(SPECS["features"], shape=(1,), length=1),
}
STEPS = {  # real steps of each row of a batch
    "text": [7, 0, 1, 4],
    "image": [1, 0, 1, 1],
    "audio": [1003, 0, 1, 502],
    "video": [5, 0, 2, 3],
    "tabular": [4, 0, 1, 3],
    "features": [6, 0, 1, 3],
}


OWN = {  # options that read nothing as small as others of their kind
    "encoder/audio/wav2vec2": tuple(replace(specs["audio"], sample_rate=16000) for specs in (SPECS, SMALLEST)),
    "encoder/image/huggingface": (
        replace(SPECS["image"], shape=(3, 8, 12)),
        replace(SPECS["image"], shape=(1, 8, 12)),
    ),
    "encoder/video/s3d": (replace(SPECS["video"], shape=(3, 32, 33)), replace(SMALLEST["video"], shape=(1, 32, 32))),
}
SLOW = {  # one of a family is enough for quick
    "encoder/audio/huggingface",
    "encoder/audio/wav2vec2",
    "encoder/image/huggingface",
    "encoder/image/timm",
    "encoder/text/sentence",
    "encoder/video/r3d_18",
    "encoder/video/s3d",
    "encoder/video/swin3d_t",
}


@dataclass(frozen=True)
class Shipped:
    """A component as its YAML describes it.

    `tests/tiny/<group>/<option>.yaml`, where it exists, stands for an option that needs downloads or time.
    """

    path: Path

    @property
    def option(self) -> str:
        return self.path.relative_to(CONFIGS).with_suffix("").as_posix()

    @property
    def kind(self) -> str:
        return self.path.parent.name

    @property
    def node(self) -> dict[str, object]:
        """What is built in tests."""
        tiny = TESTS / "tiny" / f"{self.option}.yaml"
        return self._read(tiny if tiny.is_file() else self.path)

    def _read(self, path: Path) -> dict[str, object]:
        """As Hydra composes it: a child that a defaults list names stands in its place."""
        node = yaml.safe_load(path.read_text(encoding="utf-8"))
        for child in node.pop("defaults", []):
            for place, option in child.items():
                group, _, name = place.lstrip("/").partition("@")
                node[name] = Shipped(CONFIGS / group / f"{option}.yaml").node
        return node

    @property
    def arguments(self) -> dict[str, object]:
        """What the YAML sets."""
        return _settings(self._read(self.path))

    @property
    def defaults(self) -> dict[str, object]:
        """What the constructors take by keyword, with their own defaults; tuples as YAML would have them."""
        return _defaults(self._read(self.path))

    def build(self, *facts: object, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        return factory(self.node, self.option)(*facts)


def _is_component(value: object) -> bool:
    return isinstance(value, dict) and "_target_" in value


def _settings(node: Mapping[str, object]) -> dict[str, object]:
    named = {name: value for name, value in node.items() if name != "_target_"}
    return {name: _settings(value) if _is_component(value) else value for name, value in named.items()}


def _defaults(node: Mapping[str, object]) -> dict[str, object]:
    module, _, name = str(node["_target_"]).rpartition(".")
    parameters = inspect.signature(getattr(importlib.import_module(module), name)).parameters.values()
    found = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    found |= {name: _defaults(node[name]) for name in found if _is_component(node.get(name))}
    found = {name: "???" if value is inspect.Parameter.empty else value for name, value in found.items()}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def read(reader: Reader, cell: Cell) -> Tensor:
    """A cell as the encoder gets it, without augmentation."""
    return reader.finish(reader.decode(cell))


def make_signal(spec: SignalSpec, steps: Sequence[int], *, payload: float = 0) -> Signal:
    """Random rows of so many real steps each, columns where it is a table; `payload` lies under the mask."""
    generator = torch.Generator().manual_seed(1)
    mask = torch.arange(len(spec.columns) or max(1, *steps)) < torch.tensor(steps).unsqueeze(1)  # [B,T]
    if spec.vocabulary:
        values = torch.randint(2, len(spec.vocabulary), mask.shape, generator=generator)
        return Signal(values.where(mask, torch.tensor(int(payload))), mask)
    shape = (len(steps), *(mask.shape[1:] if spec.length > 1 or not spec.shape else ()), *spec.shape)
    values = torch.randn(shape, generator=generator) * 0.3  # within -1..1, as sounds are
    for index, column in enumerate(spec.columns):
        if column.categories:
            values[:, index] = torch.arange(len(steps)) % (len(column.categories) + 1)
    return Signal(values.where(mask.reshape(*mask.shape, *[1] * (values.dim() - 2)), torch.tensor(payload)), mask)


def one_row(signal: Signal, spec: SignalSpec, row: int, steps: int) -> Signal:
    """A row alone, cut to its own length; a row of no steps keeps one, masked, and a row of a table all its columns."""
    rows, length = slice(row, row + 1), len(spec.columns) or max(1, steps)
    values = signal.values[rows]
    return Signal(values[:, :length] if signal.mask.shape[1] > 1 else values, signal.mask[rows, :length])


def make_tokens(modalities: Sequence[str], present: Sequence[Sequence[bool]], *, width: int = 8) -> dict[str, Tokens]:
    """Random tokens of the modalities for rows that have some of them; odd rows end in padding. `present` is [B,M]."""
    generator = torch.Generator().manual_seed(2)
    tokens = {}
    for index, name in enumerate(modalities):
        rows = torch.tensor([row[index] for row in present])  # [B]
        count = index + 2
        mask = rows.unsqueeze(1).repeat(1, count)  # [B,L]
        mask[1::2, -1] = False
        values = torch.randn(len(present), count, width, generator=generator)
        tokens[name] = Tokens(values.where(mask.unsqueeze(-1), torch.tensor(0.0)), mask)
    return tokens


def unregistered(module: nn.Module) -> list[str]:
    """Names of tensors that a module keeps where neither the optimizer nor a checkpoint would find them."""

    registered = {id(tensor) for tensor in [*module.parameters(), *module.buffers()]}
    own = {"_parameters", "_buffers", "_modules"}

    def holds(value: object) -> bool:
        if isinstance(value, Mapping):
            return any(map(holds, value.values()))
        if isinstance(value, list | tuple):
            return any(map(holds, value))
        return isinstance(value, Tensor) and id(value) not in registered

    return [
        f"{name}.{key}"
        for name, part in module.named_modules()
        for key, value in vars(part).items()
        if key not in own and holds(value)
    ]


def read_evenly(block: AttentionBlock) -> AttentionBlock:
    """Makes a block add the mean of the real tokens that it reads, which one can do by hand: its queries cannot choose,
    its inner layer gives nothing, and it does not normalise."""
    width = block.norm_attention.normalized_shape[0]
    nn.init.zeros_(block.attention.in_proj_weight)
    block.attention.in_proj_weight.data[2 * width :] = torch.eye(width)
    nn.init.zeros_(block.attention.in_proj_bias)
    nn.init.eye_(block.attention.out_proj.weight)
    nn.init.zeros_(block.attention.out_proj.bias)
    nn.init.zeros_(block.inner[3].weight)
    nn.init.zeros_(block.inner[3].bias)
    for norm in (block.norm_attention, block.norm_inner):
        norm.forward = lambda values: values
    return block

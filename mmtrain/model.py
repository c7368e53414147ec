"""The multimodal model: encoders -> common width -> fusion -> head. Presence is handled here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmtrain.contracts import Batch, Fused, Outputs, Signal, Tokens
from mmtrain.protocols import Encoder, Fusion
from mmtrain.tuning import frozen_parts


class Answers(NamedTuple):
    """All that a model with unimodal heads says."""

    outputs: Outputs  # of the joint head
    unimodal: dict[str, Tensor]  # [B,...] each
    fused: Fused


class MultimodalModel(nn.Module):
    """Encodes every modality, fuses them and answers the task.

    A sample that lacks a modality is a row of False in its mask. What lies under the mask is zeroed before the encoder,
    and the encoder's output there is replaced, so that it can never reach a result. In training an encoder sees only
    the rows that have its modality: its batch statistics are those of real data.

    Args:
        encoders: One a modality, in the order of fusion; each has `width`, the D of its tokens. The same module under
            several names shares its weights between them.
        fusion: Joins the modalities' tokens of width `width`.
        head: Turns a Fused into the outputs of the task; see `Task.make_head`.
        width: The common width of all tokens.
        unimodal: One head a modality beside `head`; none where no technique asks for them.
        null_tokens: A learned token takes the place of an absent modality: every fusion then finds one there.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        fusion: Fusion,
        head: nn.Module,
        *,
        width: int,
        unimodal: Mapping[str, nn.Module] | None = None,
        null_tokens: bool = False,
    ) -> None:
        super().__init__()
        self.modalities = tuple(encoders)
        distinct: dict[int, str] = {}
        self.owner = {name: distinct.setdefault(id(encoder), name) for name, encoder in encoders.items()}
        self.encoders = nn.ModuleDict({name: _module(encoders[name]) for name in distinct.values()})
        self.projections = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(encoder.width, width), nn.LayerNorm(width))
                for name, encoder in encoders.items()
            }
        )
        self.fusion = _module(fusion)
        self.head = head
        self.width = width
        self.unimodal = nn.ModuleDict(unimodal)
        self.null_tokens = nn.Parameter(torch.randn(len(encoders), width) * 0.02) if null_tokens else None

    def forward(self, batch: Batch, *, whole: bool = False) -> Outputs | Answers:
        """Returns the outputs of the task; where `whole`, all that `answers` does."""
        return self.answers(batch) if whole else self.read(self.fuse(batch), batch)

    def answers(self, batch: Batch) -> Answers:
        """Returns the outputs of the joint head and of those of the modalities, and what they have read."""
        fused = self.fuse(batch)
        alone = {name: head(fused._replace(pooled=fused.by_modality[name])) for name, head in self.unimodal.items()}
        return Answers(self.read(fused, batch), alone, fused)

    def read(self, fused: Fused, batch: Batch) -> Outputs:
        """Returns what the joint head makes of it; a head that reads targets gets those of the batch."""
        given = (batch.targets,) if getattr(self.head, "reads_targets", False) else ()
        outputs: Outputs = self.head(fused, *given)
        return outputs

    def by_modality(self) -> dict[str, nn.Module]:
        """The encoder of each modality; one that is shared several times."""
        return {name: self.encoders[owner] for name, owner in self.owner.items()}

    def train(self, mode: bool = True) -> MultimodalModel:
        """As of every module; but frozen parts stay in eval mode: their statistics are part of what is frozen."""
        super().train(mode)
        for part in frozen_parts(self.encoders):
            part.eval()
        return self

    def branches(self) -> dict[str, list[nn.Parameter]]:
        """The trainable parameters of each modality alone: its projection, and its encoder unless it is shared."""
        owners = list(self.owner.values())
        parts = {
            name: [self.projections[name], *([self.encoders[name]] if owners.count(owner) == 1 else [])]
            for name, owner in self.owner.items()
        }
        return {n: [p for part in own for p in part.parameters() if p.requires_grad] for n, own in parts.items()}

    def fuse(self, batch: Batch) -> Fused:
        """Returns what the head reads: the fused vector, and all tokens."""
        return self.join(self.encode(batch))

    def join(self, tokens: Mapping[str, Tokens]) -> Fused:
        """Returns what the fusion makes of the tokens of every modality."""
        fused: Fused = self.fusion(tokens)
        return fused

    def token_count(self, name: str, signal: Signal) -> int:
        """How many tokens a modality of one row becomes."""
        training = self.training
        self.eval()
        try:
            with torch.inference_mode():
                return int(self._tokens(name, signal).mask.sum())
        finally:
            self.train(training)

    def encode(self, batch: Batch) -> dict[str, Tokens]:
        """Returns the tokens of every modality: values [B,L,width], zero where the mask is False."""
        return self.filled({name: self.encode_one(name, batch) for name in self.modalities})

    def encode_one(self, name: str, batch: Batch) -> Tokens:
        """Returns the tokens of one modality, none where a row lacks it."""
        return self._encode(name, batch.signals[name], batch.rows[name])

    def filled(self, tokens: dict[str, Tokens]) -> dict[str, Tokens]:
        """Returns the tokens with a null token in place of an absent modality, where the model has learned such."""
        if self.null_tokens is None:
            return tokens
        nulls = zip(self.modalities, self.null_tokens, strict=True)
        return {name: _with_null(tokens[name], null) for name, null in nulls}

    def encoded(self, name: str, signal: Signal) -> Tokens:
        """Returns what the encoder of a modality makes of it, at the encoder's own width."""
        real = signal.mask.reshape(*signal.mask.shape, *[1] * (signal.values.dim() - 2))  # [B,T,1,...]
        tokens: Tokens = self.encoders[self.owner[name]](Signal(torch.where(real, signal.values, 0), signal.mask))
        return tokens._replace(mask=tokens.mask & signal.mask.any(dim=1, keepdim=True))  # [B,L]

    def _encode(self, name: str, signal: Signal | Tokens, rows: Tensor | None) -> Tokens:
        if not self.training or isinstance(signal, Tokens):
            return self._tokens(name, signal)
        count = signal.mask.shape[0] if rows is None else rows.shape[0]
        if count == 0:  # nobody has it: the encoder would only learn from zeros
            return Tokens(torch.zeros(len(signal.mask), 1, self.width, device=signal.mask.device), signal.mask[:, :1])
        with running_statistics(self.encoders[self.owner[name]]) if count == 1 else nullcontext():
            if rows is None:
                return self._tokens(name, signal)
            some = self._tokens(name, Signal(signal.values[rows], signal.mask[rows]))
        size = len(signal.mask)
        positions = None if some.positions is None else _scatter(some.positions, rows, size)
        return Tokens(_scatter(some.values, rows, size), _scatter(some.mask, rows, size), positions)

    def _tokens(self, name: str, signal: Signal | Tokens) -> Tokens:
        tokens = signal if isinstance(signal, Tokens) else self.encoded(name, signal)
        values = self.projections[name](tokens.values)  # [B,L,width]
        return tokens._replace(values=torch.where(tokens.mask.unsqueeze(-1), values, 0))


def parameter_counts(model: MultimodalModel) -> dict[str, int]:
    """Trainable and frozen parameters of each part, for people: `encoder text`, `projections`, `fusion`, `head`."""
    parts: dict[str, nn.Module] = {f"encoder {name}": module for name, module in model.encoders.items()}
    parts |= {"projections": model.projections, "fusion": model.fusion, "head": model.head}
    parts |= {"unimodal heads": model.unimodal} if model.unimodal else {}
    return {name: sum(p.numel() for p in module.parameters()) for name, module in parts.items()}


def batch_norms(module: nn.Module) -> Sequence[nn.Module]:
    """The layers whose training output depends on the other rows of the batch."""
    return [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]


@contextmanager
def running_statistics(module: nn.Module) -> Iterator[None]:
    """Inside, BatchNorm uses its running statistics: those of a single row would be its own values and no variance."""
    layers = [layer for layer in batch_norms(module) if layer.training]
    for layer in layers:
        layer.eval()
    try:
        yield
    finally:
        for layer in layers:
            layer.train()


def _with_null(tokens: Tokens, null: Tensor) -> Tokens:
    """The first token of rows without any becomes the null token [D], and real."""
    first = torch.arange(tokens.mask.shape[1], device=tokens.mask.device) == 0  # [L]
    places = ~tokens.mask.any(dim=1, keepdim=True) & first  # [B,L]
    values = torch.where(places.unsqueeze(-1), null.to(tokens.values.dtype), tokens.values)
    return Tokens(values, tokens.mask | places, tokens.positions)


def _scatter(part: Tensor, rows: Tensor, size: int) -> Tensor:
    return part.new_zeros(size, *part.shape[1:]).index_copy(0, rows, part)


def _module(component: Encoder | Fusion) -> nn.Module:
    if not isinstance(component, nn.Module):
        raise ValueError(f"{type(component).__name__} is not a torch.nn.Module")
    return component

"""What the parts of mmtrain hand to one another, and the shapes of it.

Letters in every shape comment: B samples, L tokens, D width, M modalities, K classes, V vocabulary, C channels,
H W pixels, T time steps or audio samples, F video frames. Masks are bool, True where a value is real.

A modality has a *name* (its column, such as `image_2`) and a *kind* (`text`, `image`, `audio`, `video`,
`tabular`, `features`, or the user's own).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, Union

from mmtrain.largefile import Content
from mmtrain.target import Target, TargetSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Cell = str | Content | tuple[str | Content | None, ...]
"""What a row holds of a modality, as a reader gets it: a text, or the content of a media file.

A modality of several columns is a tuple of these in their order, None where one is blank; a `tabular` one always is.
"""


@dataclass(frozen=True)
class Range:
    """The legal values of a number, as `Annotated[float, Range(0, 1)]` in a constructor; read before anything is built.

    Args:
        low: The least legal value.
        high: The greatest legal value; None: no bound.
        above: Refuse `low` itself.
    """

    low: float
    high: float | None = None
    above: bool = False

    def __contains__(self, value: float) -> bool:
        finite = value == value and abs(value) != float("inf")
        over = value > self.low if self.above else value >= self.low
        return finite and over and (self.high is None or value <= self.high)

    def __str__(self) -> str:
        start = f"above {self.low:g}" if self.above else f"at least {self.low:g}"
        if self.high is None:
            return start
        return f"{start} and at most {self.high:g}" if self.above else f"from {self.low:g} to {self.high:g}"


class Signal(NamedTuple):
    """One modality of a batch, before any network."""

    # image [B,C,H,W]; text [B,T] ids; audio [B,T]; video or several pictures [B,F,C,H,W]; features [B,D] or [B,T,D];
    # tabular [B,T], one column a position: a number, or the id of a category
    values: Tensor
    # [B,T] (T = 1 where nothing is padded); a row of False: this sample lacks the modality. Real steps come first, but
    # for tabular, where False stands at each blank cell
    mask: Tensor

    def each(self, change: Callable[[Tensor], Tensor]) -> Signal:
        """The signal with all its tensors changed."""
        return Signal(change(self.values), change(self.mask))


class Tokens(NamedTuple):
    """One modality after its encoder, in order of time, then row, then column."""

    values: Tensor  # [B,L,D]
    mask: Tensor  # [B,L]
    positions: Tensor | None = None  # [B,L,3]: seconds, y, x (y, x in 0..1 of the picture; NaN where an axis is not)

    def each(self, change: Callable[[Tensor], Tensor]) -> Tokens:
        """The tokens with all their tensors changed."""
        positions = None if self.positions is None else change(self.positions)
        return Tokens(change(self.values), change(self.mask), positions)


class Fused(NamedTuple):
    """What a fusion strategy hands to the heads."""

    pooled: Tensor  # [B,D]: what sample-level tasks read
    sequence: Tokens  # the tokens of all modalities, one after another in config order
    spans: dict[str, slice]  # whose are whose in `sequence`
    by_modality: dict[str, Tensor]  # [B,D] each, before any exchange between modalities
    presence: Tensor  # [B,M] bool
    weights: Tensor | None = None  # [B,M]: a diagnostic where the strategy has such a thing, never an importance


Outputs = Union["Tensor", tuple["Outputs", ...], dict[str, "Outputs"]]
"""What a head gives: one tensor [B,...], several, or by name."""

Rows = Union["Tensor", list["Item"], dict[str, "Rows"]]
"""What is kept of many rows on the CPU: a tensor [N,...], a list with one entry a row, or several of these by name."""

Item = object
"""Of one row, where rows differ in size: a tensor, a text, a tuple of them."""


@dataclass(frozen=True)
class ColumnSpec:
    """One column of a tabular modality: numbers, or categories if it has some.

    Args:
        categories: The values seen in training, in order; id 0 is any other, the first has id 1. Empty: numbers.
        mean: Numbers: their mean over the training rows.
        std: Numbers: their deviation, above 0; a value enters the model as (value - `mean`) / `std`.
    """

    categories: tuple[str, ...] = ()
    mean: float = 0.0
    std: float = 1.0


@dataclass(frozen=True)
class SignalSpec:
    """Facts about one modality, learned from the training rows.

    Args:
        name: The modality's name.
        kind: The modality's kind.
        shape: Shape of one step of one sample: image and video (C, H, W); features (D,); text, audio and tabular ().
        length: The most steps a sample can have; 1 where nothing is padded; tabular: the number of columns.
        vocabulary: Text: the words, index = id.
        sample_rate: Audio: samples a second.
        special: Text: ids that are no words: that of an unknown one first, then padding and the marks of a tokenizer.
        tokenizer: Text: the tokenizer as the JSON of the `tokenizers` library, where the reader is made of one.
        columns: Tabular: its columns in order.
    """

    name: str
    kind: str
    shape: tuple[int, ...] = ()
    length: int = 1
    vocabulary: tuple[str, ...] = ()
    sample_rate: int = 0
    special: tuple[int, ...] = (1, 0)
    tokenizer: str = ""
    columns: tuple[ColumnSpec, ...] = ()


@dataclass(frozen=True)
class DataSpec:
    """What the data holds; encoders, heads and task are built from this and nothing else.

    Args:
        signals: By modality name, in the order of `modalities` in the config.
        targets: By target name.
        ceilings: The best test accuracy that is possible for a subset of modalities ("text+image"), where it is known.
    """

    signals: Mapping[str, SignalSpec]
    targets: Mapping[str, TargetSpec]
    ceilings: Mapping[str, float] = field(default_factory=dict)

    def target(self, name: str | None) -> TargetSpec:
        """The target of that name; None: the only one there is.

        Raises:
            ValueError: There is no such target, or several to choose from.
        """
        names = list(self.targets) if name is None else [name]
        if len(names) != 1 or names[0] not in self.targets:
            raise ValueError(f"`target` is {name or 'null'}; it must be one of {', '.join(self.targets) or 'none'}.")
        return self.targets[names[0]]


class Mix(NamedTuple):
    """Whom a row is mixed with."""

    row: int
    share: float  # of the partner, 0 to .5
    cut: bool = False  # a part of the partner in place of a mean with it


class Draw(NamedTuple):
    """One row drawn for a batch. Workers and processes may change; the draw decides every random choice made for it."""

    row: int
    key: int  # seeds the row's augmentations
    weight: float = 1.0  # 0: fills a batch and counts for nothing
    mix: Mix | None = None


class Mixed(NamedTuple):
    """What was mixed into the rows of a batch."""

    targets: dict[str, Target]  # of the partners
    share: Tensor  # [B] float: how much of a row is its partner


@dataclass(frozen=True)
class Batch:
    """Rows on their way to the model.

    `rows[name]` holds the numbers of the rows that have the modality, or None where all have it. It is made on the
    CPU when the batch is put together, so that the model never waits for a device to learn which rows are there.
    """

    signals: dict[str, Signal | Tokens]  # Tokens where a frozen encoder has made them before
    targets: dict[str, Target]
    ids: list[str]
    keys: Tensor  # [B] int64
    weight: Tensor  # [B] float: 0 where a row fills the batch only
    rows: dict[str, Tensor | None]
    skipped: list[tuple[str, str]] = field(default_factory=list)  # id and reason of each row that could not be read
    mix: Mixed | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device) -> Batch:
        """Copies to the device without waiting for it."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device, non_blocking=True)

        return replace(
            self,
            signals={name: signal.each(move) for name, signal in self.signals.items()},
            targets={name: target.each(move) for name, target in self.targets.items()},
            keys=move(self.keys),
            weight=move(self.weight),
            rows={name: None if r is None else move(r) for name, r in self.rows.items()},
            mix=self.mix and Mixed({n: t.each(move) for n, t in self.mix.targets.items()}, move(self.mix.share)),
        )

    def pin_memory(self) -> Batch:
        """Called by the data loader when batches travel to a CUDA device."""
        return replace(
            self,
            signals={name: signal.each(lambda tensor: tensor.pin_memory()) for name, signal in self.signals.items()},
            targets={name: target.each(lambda tensor: tensor.pin_memory()) for name, target in self.targets.items()},
            keys=self.keys.pin_memory(),
            weight=self.weight.pin_memory(),
        )


class Results(NamedTuple):
    """What an evaluation has collected: one entry a distinct sample, in the order of the split."""

    ids: list[str]
    outputs: Rows  # what the task's `collect` gave
    targets: dict[str, Target]  # by name, N rows each
    loss: float  # weighted mean over the rows that have a target; nan where none has
    skipped: Sequence[tuple[str, str]] = ()  # id and reason of each row that could not be read
    clips: Sequence[Rows] = ()  # where a row was read as several clips: what `collect` gave of each, N rows each

    @property
    def tensor(self) -> Tensor:
        """The outputs of a task that collects one tensor, [N,...]."""
        assert not isinstance(self.outputs, list | dict), "this task collects more than a tensor"
        return self.outputs

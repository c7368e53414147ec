"""What a part of mmtrain must offer to be one: a source of rows, a reader, an encoder, a fusion, a task.

Whatever has these attributes and methods will do, the user's own classes too; nothing needs to be inherited. Shapes are
those of `mmtrain.contracts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from mmtrain.contracts import Batch, Cell, Draw, Fused, Outputs, Results, Rows, Signal, SignalSpec, Tokens
from mmtrain.target import Target

if TYPE_CHECKING:
    from torch import Tensor, nn


class DataSource(Protocol):
    """Rows of cells: what is in them, which split they belong to. Knows nothing of tensors.

    Attributes:
        kinds: The kind of every modality the data has, by name, in the order of its columns.
        targets: Names of the target columns.
        ids: One distinct id a row.
        splits: Row numbers of each split (`train`, `val`, `test`); none is empty.
        split_origin: Where the splits came from, for people: "column `split`", "random, stratified by `label`".
        ceilings: As in DataSpec; empty where unknown.
        notes: What a person should know before training: columns not used, media files in two splits.
    """

    kinds: Mapping[str, str]
    targets: Sequence[str]
    ids: Sequence[str]
    splits: Mapping[str, Sequence[int]]
    split_origin: str
    ceilings: Mapping[str, float]
    notes: Sequence[str]

    def present(self, row: int, name: str) -> bool:
        """Whether the row has the modality; opens no file."""

    def cell(self, row: int, name: str) -> Cell | None:
        """The text, or the content of the media file; None where the row lacks the modality."""

    def target(self, row: int, name: str) -> str | None:
        """The target exactly as written; None where the cell is blank."""

    def place(self, row: int, name: str | None = None) -> str:
        """Where the row stands, for messages: `pets.csv:12`, with the file of a media cell if there is one."""

    def fingerprint(self) -> str:
        """SHA-256 over all that can change the result: rows, splits, names and sizes of the media files."""


@runtime_checkable
class Sharded(Protocol):
    """What a DataSource may offer besides: its rows lie in files that are read fastest from front to back.

    Attributes:
        shards: The rows of each file, in the order in which they lie there.
    """

    shards: Sequence[Sequence[int]]


class Reader(Protocol):
    """Turns the cells of one modality into tensors. One instance a modality; built as factory(name)."""

    kind: str

    def fit(self, cells: Iterable[Cell]) -> SignalSpec:
        """Learns what it needs (a vocabulary, the size of the pictures) from the cells of the training rows."""

    def restore(self, spec: SignalSpec) -> None:
        """Takes a spec learned earlier in place of `fit`."""

    def decode(self, cell: Cell) -> Tensor:
        """What the cell holds, the same at every call: what may be kept, and what an augmentation works on.

        Raises:
            ValueError: The cell cannot be decoded; the message says what was found, without naming the row.
        """

    def finish(self, values: Tensor) -> Tensor:
        """One decoded sample as the encoder gets it: shape [T, *spec.shape] where spec.length > 1, else spec.shape.

        One with `spec.columns` is [len(columns)], nan where a cell is blank.
        """


@runtime_checkable
class Varying(Protocol):
    """What a Reader may offer besides: a choice that training makes anew each time, such as which part of a sound."""

    def vary(self, values: Tensor, key: int) -> Tensor:
        """What `decode` gave, after the choice that follows from the key; comes before any augmentation."""


@runtime_checkable
class Measuring(Protocol):
    """What a Reader may offer besides: the length of a sample without decoding it."""

    def measure(self, cell: Cell) -> int:
        """Steps T of what `finish` gives, or about as many.

        Raises:
            ValueError: As of `decode`.
        """


@runtime_checkable
class Cacheable(Protocol):
    """What a Reader may offer besides, where decoding takes longer than reading back what was decoded."""

    def recipe(self) -> str:
        """All that `decode` depends on but the cell: settings, and versions of the libraries that decode."""


class Augment(Protocol):
    """Changes the decoded samples of training rows; built as factory(spec: SignalSpec)."""

    def __call__(self, values: Tensor, key: int) -> Tensor:
        """A changed copy of what `Reader.decode` gave; equal keys change it equally."""


class Plan(Protocol):
    """Which training rows make which batch; built as factory(data: Data).

    Attributes:
        rows: Draws an epoch; `plan.batch_count` says how many batches they make.
    """

    rows: int

    def __call__(self, *, seed: int, epoch: int, batch_size: int) -> Sequence[list[Draw]]:
        """The batches of an epoch, the same at every call; made by `plan.drawn`, which gives each draw its key."""


class Encoder(Protocol):
    """A network for one modality; an nn.Module built as factory(spec: SignalSpec). `width` is D of its tokens."""

    width: int

    def __call__(self, signal: Signal) -> Tokens: ...


class Fusion(Protocol):
    """Joins modalities; an nn.Module built as factory(modalities: tuple[str, ...], width: int)."""

    def __call__(self, tokens: Mapping[str, Tokens]) -> Fused: ...


@runtime_checkable
class LogitFusion(Protocol):
    """What a Fusion may offer besides: it combines the answers of one head a modality, for a task that has `Logits`."""

    def make_head(self, make: Callable[[int], nn.Module]) -> nn.Module:
        """A module that turns a Fused into outputs, from heads that `make(width)` gives."""


class Task(Protocol):
    """What is asked of the model; built as factory(spec: DataSpec).

    Before there is a spec, the class itself says how its targets are read: its attribute `target_kind` is the kind of
    the columns that its argument `target` names (None: the only one of the data), and `target_options` are the names of
    those of its arguments that their reader gets. The reader learns what it needs from the training rows. With
    `target_optional = True`, None means that the task reads no target.

    Attributes:
        targets: Names of the targets it reads; a row may lack some of them.
        metric: The metric that chooses the best checkpoint.
        higher_is_better: Whether more of `metric` is better.
    """

    targets: tuple[str, ...]
    metric: str
    higher_is_better: bool

    def make_head(self, width: int) -> nn.Module:
        """A module that turns a Fused of that width into Outputs.

        One that has `reads_targets = True` is called with `Batch.targets` besides, so that a decoder can be shown the
        tokens that it is to continue. In eval mode it must not let them into what `collect` keeps.
        """

    def weight(self, batch: Batch) -> float:
        """What the batch counts in the mean loss; read on the CPU before anything is computed."""

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """The weighted sum of the losses of the batch; the caller divides by the weight of the whole step."""

    def collect(self, outputs: Outputs, batch: Batch) -> Rows:
        """What an evaluation keeps of a batch, on the CPU, one entry a row: logits, or what was decoded from them.

        All that `metrics` and `table` get to see. It is kept for every row of the split, so it should be small.
        """

    def metrics(self, results: Results) -> dict[str, float]:
        """Exact metrics of a whole split, by a library."""

    def table(self, results: Results) -> dict[str, list[str] | list[float]]:
        """The columns of a predictions file: `prediction`, then what the task adds."""


@runtime_checkable
class Confusable(Protocol):
    """What a Task may offer besides: which class it takes for which."""

    classes: tuple[str, ...]

    def confusion(self, results: Results) -> list[list[int]]:
        """Counts [K,K]: row = the true class, column = the predicted one."""


@runtime_checkable
class Logits(Protocol):
    """What a Task may offer besides: its outputs are logits, which can be averaged, and held against the truth."""

    def likelihood(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The probability that outputs [B,...] give to what is true: [B]."""


@runtime_checkable
class Aligned(Protocol):
    """What a Task may offer besides: the tokens of one modality answer one by one, and there must be enough of them.

    Attributes:
        anchor: The modality.
        target: The target.
    """

    anchor: str
    target: str

    def steps_needed(self, target: Target) -> int:
        """The fewest tokens of the anchor that can answer with the target of a row."""


@runtime_checkable
class Calibrated(Protocol):
    """What a Task may offer besides: values that the validation rows decide, such as thresholds.

    They are learned at every evaluation of the validation split and lie in each checkpoint beside its weights.
    """

    def calibrate(self, results: Results) -> None:
        """Learns them from the results on the validation split."""

    def calibration(self) -> dict[str, list[float]]:
        """What was learned, as finite numbers; the start values before anything was."""

    def restore(self, calibration: Mapping[str, Sequence[float]]) -> None:
        """Takes what `calibration` gave.

        Raises:
            ValueError: The names or the numbers of values are not those of this task.
        """

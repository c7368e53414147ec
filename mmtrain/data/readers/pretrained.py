"""A pretrained tokenizer, from a folder or the Hugging Face Hub, so that a pretrained text encoder gets its own ids."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from torch import Tensor

from mmtrain import hub
from mmtrain.contracts import Cell, Range, SignalSpec
from mmtrain.data.readers.subwords import Subwords, library, spec_of
from mmtrain.errors import ConfigError
from mmtrain.tokenizer import FILE, parsed


class PretrainedReader:
    """Reads a text as ids [T] of a pretrained tokenizer, int64, with the marks that it puts around a text.

    Args:
        name: The modality's name.
        tokenizer: A folder that holds tokenizer.json, or a name on the Hub; read when a run starts, and kept with it.
        max_length: Ids kept of a text, marks included.

    Raises:
        ConfigError: The `tokenizers` library is not installed.
    """

    kind = "text"

    def __init__(self, name: str, *, tokenizer: str, max_length: Annotated[int, Range(2, 100_000)] = 128) -> None:
        library()
        self.name = name
        self.tokenizer = tokenizer
        self.max_length = max_length

    def fit(self, cells: Iterable[Cell]) -> SignalSpec:
        """Reads the tokenizer; needs no look at the data.

        Raises:
            ConfigError: There is no such tokenizer, or it cannot be read.
        """
        path = self._file()
        try:
            tokenizer = parsed(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"`reader.{self.name}.tokenizer`: {path}: {error}.") from None
        spec = spec_of(tokenizer, self.name, max_length=self.max_length)
        self.restore(spec)
        return spec

    def restore(self, spec: SignalSpec) -> None:
        """Takes the tokenizer of `spec`; the one that was named is not looked for.

        Raises:
            ValueError: It holds no tokenizer.
        """
        self._subwords = Subwords(spec)

    def decode(self, cell: Cell) -> Tensor:
        """The ids of the text, cut to `max_length`: [T] int64, T at least 1."""
        return self._subwords.ids(cell)

    def finish(self, values: Tensor) -> Tensor:
        """The ids as they are."""
        return values

    def _file(self) -> Path:
        """The tokenizer.json of the folder, of the Hub's cache, or, where the Hub answers, from there."""
        try:
            return hub.file(self.tokenizer, FILE)
        except ValueError as error:
            raise ConfigError(
                f"`reader.{self.name}.tokenizer` (={self.tokenizer}): {error}; name a folder that holds {FILE} "
                "(AutoTokenizer.from_pretrained(...).save_pretrained(...) of transformers writes one), or learn "
                "subwords from the training rows with reader/text=bpe."
            ) from None

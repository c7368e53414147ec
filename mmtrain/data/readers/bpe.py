"""Byte-level BPE: subwords learned from the training texts.

Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units", https://arxiv.org/abs/1508.07909:
the commonest pair of neighbours becomes a new subword, again and again. On bytes, as in GPT-2, so that no text of any
script holds anything unknown. Training is that of the `tokenizers` library, which breaks ties by id: equal texts give
equal subwords, whatever their order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from torch import Tensor

from mmtrain.contracts import Cell, Range, SignalSpec
from mmtrain.data.readers.subwords import Subwords, encodable, library, spec_of
from mmtrain.data.readers.text import PADDING, UNKNOWN


class BytePairReader:
    """Reads a text as ids [T] of its subwords, int64; id 0 is padding, id 1 stands for dropped words and empty texts.

    Args:
        name: The modality's name.
        max_length: Subwords kept of a text, from its start.
        vocabulary_size: Most entries, with padding, unknown and the 256 bytes.
        min_count: A pair seen less often in training is not merged.
        lowercase: Ignore case.

    Raises:
        ConfigError: The `tokenizers` library is not installed.
    """

    kind = "text"

    def __init__(
        self,
        name: str,
        *,
        max_length: Annotated[int, Range(2, 100_000)] = 128,
        vocabulary_size: Annotated[int, Range(258, 1_000_000)] = 8000,
        min_count: Annotated[int, Range(1)] = 2,
        lowercase: bool = False,
    ) -> None:
        library()
        self.name = name
        self.max_length = max_length
        self.vocabulary_size = vocabulary_size
        self.min_count = min_count
        self.lowercase = lowercase

    def fit(self, cells: Iterable[Cell]) -> SignalSpec:
        """Learns the subwords."""
        tokenizers = library()
        tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token=UNKNOWN))
        forms = [tokenizers.normalizers.NFKC(), *([tokenizers.normalizers.Lowercase()] if self.lowercase else [])]
        tokenizer.normalizer = tokenizers.normalizers.Sequence(forms)
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = tokenizers.decoders.ByteLevel()
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=self.vocabulary_size,
            min_frequency=self.min_count,
            special_tokens=[PADDING, UNKNOWN],
            initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(map(encodable, cells), trainer)
        spec = spec_of(tokenizer, self.name, max_length=self.max_length)
        self.restore(spec)
        return spec

    def restore(self, spec: SignalSpec) -> None:
        """Takes the subwords and the longest text of `spec`.

        Raises:
            ValueError: It holds no tokenizer.
        """
        self._subwords = Subwords(spec, literal=True)

    def decode(self, cell: Cell) -> Tensor:
        """The ids of the first `max_length` subwords: [T] int64, T at least 1."""
        return self._subwords.ids(cell)

    def finish(self, values: Tensor) -> Tensor:
        """The ids as they are."""
        return values

"""Texts: words that are dropped, so that no single one decides.

Word dropout after Iyyer et al. 2015, "Deep Unordered Composition Rivals Syntactic Methods for Text Classification",
https://aclanthology.org/P15-1162. Differs: a dropped word becomes the unknown one, so the order and the length stay.
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from mmtrain import seeding
from mmtrain.contracts import Range, SignalSpec


class WordDropout:
    """Replaces words of a text [T] int64 by the unknown one; marks that a tokenizer adds are kept.

    Args:
        spec: A modality of texts.
        rate: Probability that a word is replaced.

    Raises:
        ValueError: The modality has no vocabulary.
    """

    def __init__(self, spec: SignalSpec, *, rate: Annotated[float, Range(0, 1)] = 0.1) -> None:
        if not spec.vocabulary:
            raise ValueError(f"drops words, but modality `{spec.name}` is {spec.kind} without a vocabulary")
        self.rate = rate
        self.unknown = spec.special[0]
        self._special = torch.tensor(spec.special)

    def __call__(self, values: Tensor, key: int) -> Tensor:
        """The ids, some of them replaced: [T] -> [T]."""
        drawn = torch.rand(len(values), generator=seeding.generator(key, "text")) < self.rate
        return values.masked_fill(drawn & ~torch.isin(values, self._special), self.unknown)

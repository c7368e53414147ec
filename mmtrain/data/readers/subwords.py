"""Subword tokenizers of the `tokenizers` library (https://github.com/huggingface/tokenizers), kept as their JSON.

What the readers that use one share: text to ids, and the facts about it that encoders and augmentations need.
"""

from __future__ import annotations

import json
import os
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmtrain.contracts import Cell, SignalSpec
from mmtrain.data.readers.text import text_of
from mmtrain.errors import ConfigError
from mmtrain.tokenizer import parsed

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def library() -> ModuleType:
    """The `tokenizers` library.

    Raises:
        ConfigError: It is not installed.
    """
    # Its threads would be lost in forked workers, with a warning each; one text a call gains nothing from them.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import tokenizers
    except ImportError:
        raise ConfigError("subwords need tokenizers: pip install 'mmtrain[hf]'.") from None
    module: ModuleType = tokenizers
    return module


class Subwords:
    """Texts to ids by a tokenizer.

    Args:
        spec: As `spec_of` has made it, perhaps long ago.
        literal: Take a mark such as <pad> in a text for the characters it is written with.

    Raises:
        ValueError: It holds no tokenizer, or one of another vocabulary.
        ConfigError: The library is not installed.
    """

    def __init__(self, spec: SignalSpec, *, literal: bool = False) -> None:
        self._tokenizer = parsed(spec.tokenizer)
        if vocabulary_of(self._tokenizer) != spec.vocabulary:
            raise ValueError(f"the tokenizer of `{spec.name}` has another vocabulary than the spec")
        self._tokenizer.encode_special_tokens = literal
        self._tokenizer.enable_truncation(spec.length)
        self._unknown = spec.special[0]

    def ids(self, cell: Cell) -> Tensor:
        """The ids of a text: [T] int64, T at least 1 and at most `spec.length`; of an empty one the unknown id."""
        return torch.tensor(self._tokenizer.encode(encodable(cell)).ids or [self._unknown])


def encodable(cell: Cell) -> str:
    """The text of a cell; half a character, which the library refuses, becomes a question mark."""
    return text_of(cell).encode("utf-8", "replace").decode()


def spec_of(tokenizer: Tokenizer, name: str, *, max_length: int) -> SignalSpec:
    """The facts about a modality that a tokenizer reads.

    Args:
        tokenizer: Without padding or truncation; where it has no unknown token, the first special one takes its place.
        name: The modality's.
        max_length: Most ids of a text.
    """
    text = tokenizer.to_str()
    model = json.loads(text)["model"]
    special = sorted(number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special)
    unknown = model.get("unk_id")  # of a Unigram model; the others name the token
    if unknown is None:
        unknown = tokenizer.token_to_id(model.get("unk_token") or "")
    if unknown is None:
        unknown = next(iter(special), 0)
    return SignalSpec(
        name,
        "text",
        length=max_length,
        vocabulary=vocabulary_of(tokenizer),
        special=(unknown, *(number for number in special if number != unknown)),
        tokenizer=text,
    )


def vocabulary_of(tokenizer: Tokenizer) -> tuple[str, ...]:
    """The tokens by id, in one line each: a line break in one is written `\\n`; numbers without a token have a name."""
    tokens = {number: token for token, number in tokenizer.get_vocab(with_added_tokens=True).items()}
    escapes = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
    table = str.maketrans(escapes)
    return tuple(tokens.get(number, f"<unused {number}>").translate(table) for number in range(max(tokens) + 1))

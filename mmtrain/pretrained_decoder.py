"""A language model of the transformers library that writes a text about what it has been shown before it.

The tokens of a model are projected to vectors like those of its own words and stand before the text, as in Frozen
(Tsimpoukelli et al. 2021, https://arxiv.org/abs/2106.13884) and ClipCap (Mokady et al. 2021,
https://arxiv.org/abs/2111.09734). Differs: any number of tokens of any modalities, each projected by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from mmtrain.backbones import hugging_face
from mmtrain.decoder import Kept
from mmtrain.errors import ConfigError
from mmtrain.tokenizer import END, PADDING, SPECIAL, START, UNKNOWN

_NEVER = -1e4  # the score of what cannot be written; finite also in 16 bits
_SPARE = 512  # rows of an embedding without a token: libraries round its size up


class PretrainedDecoder(nn.Module):
    """Scores of the next token after every token of a text, as `TransformerDecoder` gives them.

    The ids are those of `mmtrain.tokenizer`: the special ones, then the tokens of the language model. Its own mark of
    an end takes the place of END, that of a start, or else of an end, the place of START.

    Args:
        vocabulary: V, the special tokens of `mmtrain.tokenizer` included.
        width: D of what is read.
        name: A local folder as transformers saves it, or a name on the Hugging Face Hub.
        pretrained: Start from its weights; False: the same architecture with random ones.
        architecture: What its config.json says; None: read it there.
        freeze: Train the projection alone.
        length: Most tokens that can be written, the last one included.

    Raises:
        ValueError: The model cannot be had, is no causal language model, or does not fit the vocabulary.
        ImportError: transformers is not installed.
    """

    def __init__(
        self,
        vocabulary: int,
        width: int,
        *,
        name: str,
        pretrained: bool,
        architecture: Mapping[str, object] | None,
        freeze: bool,
        length: int,
    ) -> None:
        super().__init__()
        network: Any = hugging_face(
            "task",
            name,
            key="decoder",
            part="text_config",
            pretrained=pretrained,
            architecture=architecture,
            gradient_checkpointing=False,
            writing=True,
        )
        self.network, config = network, network.config
        rows, own = int(config.vocab_size), vocabulary - len(SPECIAL)
        if not own <= rows <= own + _SPARE:
            raise ValueError(f"`decoder` (={name}) has {rows:,} tokens, its tokenizer {own:,}; they are of two models")
        end = _first(config.eos_token_id)
        if end is None or not 0 <= end < own:
            raise ValueError(f"`decoder` (={name}): its config.json names no `eos_token_id`, so no text would end")
        start = _first(config.bos_token_id)
        theirs = torch.arange(vocabulary) - len(SPECIAL)  # their id of each of ours
        theirs[[PADDING, UNKNOWN, END]] = end
        theirs[START] = end if start is None else start
        never = torch.zeros(vocabulary, dtype=torch.bool)
        never[[PADDING, UNKNOWN, START, len(SPECIAL) + end]] = True
        self.theirs: Tensor
        self.never: Tensor
        self.register_buffer("theirs", theirs, persistent=False)
        self.register_buffer("never", never, persistent=False)
        self.width, self.length, self.frozen = width, length, freeze
        # Newer versions of transformers call it cache, and warn at the older name.
        self._cache = "cache" if "cache" in signature(network.forward).parameters else "past_key_values"
        hidden = network.get_input_embeddings().weight.detach()
        norm = nn.LayerNorm(hidden.shape[1])
        nn.init.constant_(norm.weight, float(hidden.std()))  # as large as words are: a frozen network knows no other
        self.project = nn.Sequential(nn.Linear(width, hidden.shape[1]), norm)
        if freeze:
            network.requires_grad_(False)

    def train(self, mode: bool = True) -> PretrainedDecoder:
        """As of every module; a frozen language model stays in eval mode, without dropout."""
        super().train(mode)
        if self.frozen:
            self.network.eval()
        return self

    def read(self, memory: Tensor, mask: Tensor) -> Kept:
        """What every layer keeps of the tokens that are read: [B,K,D], real where the mask [B,K] says so.

        Raises:
            ConfigError: They and a text are more than the language model has positions for.
        """
        longest = getattr(self.network.config, "max_position_embeddings", None)
        if longest is not None and memory.shape[1] + self.length > longest:
            raise ConfigError(
                f"`task.decoder` has {longest:,} positions, too few for {memory.shape[1]:,} tokens of the modalities "
                f"and `max_length` (={self.length - 1:,}); fewer tokens come from a fusion or an encoder that pools."
            )
        return self._kept({"inputs_embeds": self.project(memory)}, mask, [])[1]

    def forward(self, ids: Tensor, read: Kept, mask: Tensor, written: Kept | None = None) -> tuple[Tensor, Kept]:
        """As of `TransformerDecoder`: [B,T,V], and keys and values of what is read and written so far."""
        before = written or read
        real = torch.cat([mask, mask.new_ones(len(ids), before[0][0].shape[2] - mask.shape[1] + ids.shape[1])], dim=1)
        scores, kept = self._kept({"input_ids": self.theirs[ids]}, real, before)
        return scores[..., self.theirs].masked_fill(self.never, _NEVER), kept  # [B,T,V]

    def _kept(self, given: Mapping[str, Tensor], mask: Tensor, before: Kept) -> tuple[Tensor, Kept]:
        """Scores [B,T,rows] after each of the last T tokens, `mask` [B,T so far] being that of all."""
        from transformers import DynamicCache

        steps = next(iter(given.values())).shape[1]
        places = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -steps:]  # what is absent takes no place
        kept: Any = DynamicCache(before)  # the network adds to it
        answer = self.network(
            **given, attention_mask=mask.long(), position_ids=places, use_cache=True, **{self._cache: kept}
        )
        return answer.logits, [(layer.keys, layer.values) for layer in kept.layers]


def _first(ids: int | list[int] | None) -> int | None:
    return ids[0] if isinstance(ids, list) else ids

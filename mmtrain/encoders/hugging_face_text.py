"""Text encoders of the transformers library, by name or from a folder: one token a subword, or one a text.

BERT and its kin (Devlin et al. 2018, https://arxiv.org/abs/1810.04805) as transformers builds them. With
`pooling="mean"` they are sentence embedders (Reimers and Gurevych 2019, https://arxiv.org/abs/1908.10084). Differs:
the pooler on the first token, which only some were trained with, is left out, and so is a final normalisation to length
1, since the model normalises every token anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn

from mmtrain.backbones import hugging_face
from mmtrain.contracts import Signal, SignalSpec, Tokens
from mmtrain.layers import at_least_one, masked_mean, vocabulary_size, zeroed

_SPARE = 512  # rows of an embedding without a token: libraries round its size up


class HuggingFaceText(nn.Module):
    """Reads the subwords of a text all at once.

    Args:
        spec: A text modality, read with the tokenizer of the same model: `reader/text=pretrained`.
        name: A local folder as transformers saves it, or a name on the Hugging Face Hub.
        pretrained: Start from its weights; False: the same architecture with random ones.
        architecture: What its config.json says; None: read it there. A run fills it in, and needs `name` no more.
        pooling: "none": a token a subword; "mean": their mean; "first": the first, which BERT puts before the text.
        gradient_checkpointing: Saves memory: layers are computed again in the backward pass.

    Raises:
        ValueError: The modality has no vocabulary or another tokenizer's, its texts are too long, or the model cannot
            be had.
    """

    def __init__(
        self,
        spec: SignalSpec,
        *,
        name: str,
        pretrained: bool = True,
        architecture: Mapping[str, object] | None = None,
        pooling: Literal["none", "mean", "first"] = "none",
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        size, where = vocabulary_size(spec), f"encoder.{spec.name}"
        self.network = hugging_face(
            where,
            name,
            part="text_config",
            pretrained=pretrained,
            architecture=architecture,
            gradient_checkpointing=gradient_checkpointing,
        )
        config: Any = self.network.config
        rows = int(config.vocab_size)
        if not size <= rows <= size + _SPARE or (pretrained and not spec.tokenizer):
            raise ValueError(
                f"{name} has {rows:,} subwords, the reader of `{spec.name}` {size:,}"
                f"{'' if spec.tokenizer else ' words of its own'}; read its own with reader/{spec.name}=pretrained "
                f"reader.{spec.name}.tokenizer={name}."
            )
        longest = _longest(self.network)
        if longest is not None and spec.length > longest:
            raise ValueError(
                f"{name} reads {longest} subwords at most, but `reader.{spec.name}.max_length` is {spec.length}; "
                f"set it to {longest}."
            )
        self.padding = int(config.pad_token_id or 0)
        self.pooling = pooling
        self.width = int(config.hidden_size)

    def forward(self, signal: Signal) -> Tokens:
        """Ids [B,T] -> [B,T,width]; pooled [B,1,width]."""
        ids = torch.where(signal.mask, zeroed(signal), self.padding)  # some models count positions by what is not it
        # An absent text attends to its first padding: over no key at all, some attention kernels give nan.
        values = self.network(input_ids=ids, attention_mask=at_least_one(signal.mask).long()).last_hidden_state
        if self.pooling == "none":
            return Tokens(values, signal.mask)
        one = values[:, 0] if self.pooling == "first" else masked_mean(values, signal.mask)  # [B,D]
        return Tokens(one.unsqueeze(1), signal.mask.any(dim=1, keepdim=True))


def sentence(
    spec: SignalSpec,
    *,
    name: str = "sentence-transformers/all-MiniLM-L6-v2",
    pretrained: bool = True,
    architecture: Mapping[str, object] | None = None,
    gradient_checkpointing: bool = False,
) -> HuggingFaceText:
    """A sentence embedder: one token, the mean of those of the subwords."""
    return HuggingFaceText(
        spec,
        name=name,
        pretrained=pretrained,
        architecture=architecture,
        pooling="mean",
        gradient_checkpointing=gradient_checkpointing,
    )


def _longest(network: nn.Module) -> int | None:
    """Subwords that a network has positions for; None: any number."""
    for name, module in network.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            # RoBERTa's first position is the one after that of padding.
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    return None

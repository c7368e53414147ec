"""Classes known by their names: what a place shows is compared with the words of each, so that new names can be asked.

After OWL-ViT (Minderer et al. 2022, https://arxiv.org/abs/2205.06230): the logit of a class is the cosine of the angle
between what a place shows and what its name says, by a learned factor, and a shift that the place decides. Differs: a
name is the mean of learned vectors of its words, not the output of a pretrained text encoder. Of known words any new
name can be made, such as `blue circle` where training has shown blue squares and red circles; what a word means that no
name in training has is not known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmtrain.suggest import did_you_mean

_SIGNS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # of languages without blanks: each counts as a word
_WORD = re.compile(f"[{_SIGNS}]|[^\\W_{_SIGNS}]+")


class ClassNames(nn.Module):
    """Turns what places show into logits for classes that are given by name.

    Args:
        names: The classes of the training rows; their words are those that can be asked for.
        size: E of the vectors of words and places.

    Raises:
        ValueError: As of `ask`.
    """

    def __init__(self, names: Sequence[str], size: int) -> None:
        super().__init__()
        self.known = tuple(sorted({word for name in names for word in words(name)}))
        self.vectors = nn.Embedding(len(self.known), size)
        self.log_factor = nn.Parameter(torch.tensor(10.0).log())
        self.asked: Tensor
        self.register_buffer("asked", torch.empty(0), persistent=False)
        self.ask(names)

    def ask(self, names: Sequence[str]) -> None:
        """Makes these the classes, in their order.

        Raises:
            ValueError: A word that no name in training has, or two names of the same words.
        """
        rows: dict[tuple[str, ...], str] = {}
        asked = torch.zeros(len(names), len(self.known))  # [K,W]
        for number, name in enumerate(names):
            for word in words(name):
                if word not in self.known:
                    raise ValueError(
                        f"class '{name}': no class in training has the word '{word}'."
                        f"{did_you_mean(word, self.known)} Known: {', '.join(self.known)}"
                    )
                asked[number, self.known.index(word)] += 1
            same = rows.setdefault(tuple(sorted(words(name))), name)
            if same != name:
                raise ValueError(f"the classes '{same}' and '{name}' have the same words, by which classes are told")
        self.asked = asked.to(self.asked.device)

    def forward(self, shown: Tensor, shift: Tensor) -> Tensor:
        """What places show [B,L,E] and their shift [B,L,1] -> logits [B,L,K]."""
        names = F.normalize(self.asked.to(shown.dtype) @ self.vectors.weight.to(shown.dtype), dim=-1)  # [K,E]
        return self.log_factor.exp() * F.normalize(shown, dim=-1) @ names.T + shift


def words(name: str) -> list[str]:
    """The words of a name in small letters; a name without any is one."""
    return _WORD.findall(name.lower()) or [name]

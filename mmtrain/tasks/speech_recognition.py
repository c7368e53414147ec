"""Speech recognition: the text of a sound, one answer a time step, aligned by connectionist temporal classification."""

from __future__ import annotations

from types import ModuleType
from typing import Annotated, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmtrain.contracts import Batch, DataSpec, Fused, Outputs, Range, Results, Rows
from mmtrain.ctc import BLANK, best_path, best_prefix, steps_needed
from mmtrain.target import Target
from mmtrain.tokenizer import END, Tokenizer


class SpeechRecognition:
    """Writes down what is said, from the tokens of one modality, in their order.

    Every token of the anchor answers with one character, or piece of a word, or the blank; the loss is the negative
    logarithm of the probability of all the ways to say the transcript (`mmtrain.ctc`), divided by its length. Other
    modalities help by the fused vector, which is added to every token, and by a fusion in which its tokens read those
    of others. A row that lacks the anchor, or is too short for its transcript, is not learned from.

    Args:
        spec: Facts about the data.
        target: The column of the transcripts; None: the only target that the data has.
        anchor: The modality whose tokens are read; None: the only sound.
        tokenizer: What a transcript is made of: `characters`, `words`, or pieces of words by `bpe`. A word outside the
            vocabulary is never written: it is left out of what is learned, and an error in the scores.
        vocabulary_size: Most different characters, words or pieces, four special ones included.
        max_length: Most tokens of a transcript; a longer one cannot be read.
        metric: Chooses the best checkpoint: word (`wer`) or character error rate (`cer`).
        beam_size: Beginnings that the decoder keeps a step; 1: the likeliest path, which is fastest.
        dropout: On the tokens, before the last layer.

    Raises:
        ValueError: `anchor` is no modality; or it is None, and there is no sound or several.
        ImportError: The package jiwer is not installed.
    """

    target_kind = "text"
    target_options = ("tokenizer", "vocabulary_size", "max_length")
    higher_is_better = False

    def __init__(
        self,
        spec: DataSpec,
        *,
        target: str | None = None,
        anchor: str | None = None,
        tokenizer: Literal["characters", "words", "bpe"] = "characters",
        vocabulary_size: Annotated[int, Range(5, 1_000_000)] = 1000,
        max_length: Annotated[int, Range(1, 100_000)] = 1000,
        metric: Literal["wer", "cer"] = "wer",
        beam_size: Annotated[int, Range(1, 1000)] = 1,
        dropout: Annotated[float, Range(0, 1)] = 0.0,
    ) -> None:
        sounds = [name for name, signal in spec.signals.items() if signal.kind == "audio"]
        if (len(sounds) != 1) if anchor is None else (anchor not in spec.signals):
            found = f"the sounds are {', '.join(sounds) or 'none'}, of {', '.join(spec.signals)}"
            raise ValueError(f"`anchor` is {anchor or 'null'}; it must be the modality to write down: {found}.")
        _library()
        facts = spec.target(target)
        self.target, self.targets, self.metric = facts.name, (facts.name,), metric
        self.anchor = anchor or sounds[0]
        self.beam_size, self.dropout = beam_size, dropout
        self._tokenizer = Tokenizer(facts)

    def make_head(self, width: int) -> nn.Module:
        """A norm, the fused vector, dropout and one linear layer on each token of the anchor; see `CTCHead`."""
        return CTCHead(width, len(self._tokenizer) - END, anchor=self.anchor, dropout=self.dropout)

    def steps_needed(self, target: Target) -> int:
        """The fewest tokens of the anchor that can say the transcript of a row."""
        return steps_needed(target.ragged[0].tolist())

    def weight(self, batch: Batch) -> float:
        """The rows that have a transcript and the anchor, and count."""
        heard = batch.signals[self.anchor].mask.any(dim=1)
        return float((batch.targets[self.target].mask * heard * batch.weight).sum())

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Sum over the rows that have a transcript and room for it of its loss divided by its tokens; a scalar."""
        target, (logits, mask) = batch.targets[self.target], _parts(outputs)
        losses = _negative_log(logits, mask, [_labels(ids) for ids in target.ragged])
        counts = torch.tensor([max(1, len(ids)) for ids in target.ragged], device=losses.device)
        weights = target.mask * mask.any(dim=1) * batch.weight  # [B]
        # where, not a product alone: a filling row must not turn the sum into nan
        return torch.where(weights > 0, losses / counts * weights, 0).sum()

    def collect(self, outputs: Outputs, batch: Batch) -> Rows:
        """The text of each row, and the logarithm of its probability, 0 where there is no anchor."""
        logits, mask = _parts(outputs)
        steps = [row[:count] for row, count in zip(logits.float().log_softmax(dim=-1).cpu(), mask.sum(1), strict=True)]
        found = [best_path(row) if self.beam_size == 1 else best_prefix(row, self.beam_size) for row in steps]
        labels = [torch.tensor(row, dtype=torch.int64, device=logits.device) for row in found]
        return {
            "text": [self._tokenizer.decode([label + END for label in row]) for row in found],
            "log_probability": -_negative_log(logits, mask, labels).cpu(),
        }

    def metrics(self, results: Results) -> dict[str, float]:
        """Word and character error rates of all words and characters together, and the share of rows without error."""
        jiwer = _library()
        target, said = results.targets[self.target], self.table(results)["prediction"]
        pairs = [
            (texts[0], str(text))
            for texts, text, known in zip(target.references, said, target.mask.tolist(), strict=True)
            if known
        ]
        if not pairs:
            return dict.fromkeys(("wer", "cer", "exact_match"), float("nan"))
        truth, given = (list(column) for column in zip(*pairs, strict=True))
        exact = sum(" ".join(one.split()) == " ".join(other.split()) for one, other in pairs)
        return {
            "wer": float(jiwer.wer(truth, given)),
            "cer": float(jiwer.cer(truth, given)),
            "exact_match": exact / len(pairs),
        }

    def table(self, results: Results) -> dict[str, list[str] | list[float]]:
        """The text, and the logarithm of the probability that the model gives to it."""
        rows = cast(dict[str, Rows], results.outputs)
        return {
            "prediction": cast(list[str], rows["text"]),
            "log_probability": cast(Tensor, rows["log_probability"]).tolist(),
        }


class CTCHead(nn.Module):
    """Norm of each token of the anchor, plus W pooled, W zero at first; then dropout and a linear layer.

    Args:
        width: D of the tokens.
        num_labels: Labels, the blank included.
        anchor: The modality whose tokens answer.
        dropout: Before the last layer.
    """

    def __init__(self, width: int, num_labels: int, *, anchor: str, dropout: float) -> None:
        super().__init__()
        self.anchor = anchor
        self.norm, self.context = nn.LayerNorm(width), nn.Linear(width, width)
        nn.init.zeros_(self.context.weight)
        nn.init.zeros_(self.context.bias)
        self.dropout, self.output = nn.Dropout(dropout), nn.Linear(width, num_labels)

    def forward(self, fused: Fused) -> Outputs:
        """Returns `logits` [B,L,labels] and the `mask` [B,L] of the anchor's tokens, which is True first."""
        span = fused.spans[self.anchor]
        tokens = self.norm(fused.sequence.values[:, span]) + self.context(fused.pooled).unsqueeze(1)  # [B,L,D]
        return {"logits": self.output(self.dropout(tokens)), "mask": fused.sequence.mask[:, span]}


def _parts(outputs: Outputs) -> tuple[Tensor, Tensor]:
    named = cast(dict[str, Tensor], outputs)
    return named["logits"], named["mask"]


def _labels(ids: Tensor) -> Tensor:
    """Ids of text as labels, from 1 since 0 is the blank; the special ones, such as an unknown word, are none."""
    return ids[ids > END] - END


def _negative_log(logits: Tensor, mask: Tensor, labels: list[Tensor]) -> Tensor:
    """-log p(labels) of each row, 0 where there are too few steps: logits [B,L,K], mask [B,L] -> [B]."""
    losses: Tensor = F.ctc_loss(
        logits.float().log_softmax(dim=-1).transpose(0, 1),
        torch.cat(labels),
        mask.sum(dim=1),
        torch.tensor([len(row) for row in labels], device=logits.device),
        blank=BLANK,
        reduction="none",
        zero_infinity=True,
    )
    return losses


def _library() -> ModuleType:
    try:
        import jiwer
    except ImportError:
        raise ImportError(
            "`task: speech_recognition` needs the package jiwer: pip install 'mmtrain[language]'"
        ) from None
    return jiwer

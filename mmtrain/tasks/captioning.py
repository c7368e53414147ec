"""Captioning: a text about a sample, written token by token by a transformer that reads all fused tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Annotated, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmtrain.blocks import TokenInput
from mmtrain.caption_scores import known, library, scores
from mmtrain.contracts import Batch, DataSpec, Fused, Outputs, Range, Results, Rows
from mmtrain.decoder import Kept, TransformerDecoder, search
from mmtrain.pretrained_decoder import PretrainedDecoder
from mmtrain.target import Target
from mmtrain.tokenizer import END, PADDING, START, Tokenizer

_LEFT_OUT = -100  # the label that torch's cross-entropy passes over


class Captioning:
    """A text of any modalities: of a picture, a sound, another text.

    In training the decoder sees the true beginning and learns the next token, by the mean over the tokens of the text,
    its end included, of -log p. What is scored and predicted it writes freely, from nothing but the modalities.

    Args:
        spec: Facts about the data.
        target: The column of the texts; None: the only target that the data has.
        decoder: A causal language model of Hugging Face that writes, in its own tokens: a local folder or a name on the
            Hub; None: one of our own, which `tokenizer`, `vocabulary_size` and the layers are of.
        pretrained: Start `decoder` from its weights; False: from random ones.
        architecture: What config.json of `decoder` says; None: read it there. A run fills it in.
        freeze: `decoder` does not train; only what shows it the tokens of the modalities does.
        tokenizer: What a text is made of: `words` between blanks, `characters`, or pieces of words by `bpe`.
        vocabulary_size: Most different tokens, four special ones included; the commonest are kept.
        max_length: Most tokens of a text; a longer one cannot be read, and none is written.
        references: What separates several texts of a cell that are equally right, or `json` for a list; training draws
            one of them, and scores see all; None: a cell is one text.
        metric: Chooses the best checkpoint.
        num_layers: Blocks of the decoder.
        num_heads: Its attention heads; they divide `width`.
        dropout: In every block.
        label_smoothing: Share of the target spread over all tokens.
        beam_size: Texts that the search keeps; 1: the likeliest token each time.
        length_penalty: Texts are judged by their log-probability divided by their length to this power.

    Raises:
        ImportError: The package sacrebleu is not installed.
    """

    target_kind = "text"
    target_options = ("decoder", "tokenizer", "vocabulary_size", "max_length", "references")
    higher_is_better = True

    def __init__(
        self,
        spec: DataSpec,
        *,
        target: str | None = None,
        decoder: str | None = None,
        pretrained: bool = True,
        architecture: Mapping[str, object] | None = None,
        freeze: bool = True,
        tokenizer: Literal["words", "characters", "bpe"] = "words",
        vocabulary_size: Annotated[int, Range(5, 1_000_000)] = 10_000,
        max_length: Annotated[int, Range(1, 10_000)] = 64,
        references: str | None = None,
        metric: Literal["cider", "bleu", "chrf", "rouge_l", "exact_match"] = "cider",
        num_layers: Annotated[int, Range(1)] = 2,
        num_heads: Annotated[int, Range(1)] = 4,
        dropout: Annotated[float, Range(0, 1)] = 0.1,
        label_smoothing: Annotated[float, Range(0, 1)] = 0.0,
        beam_size: Annotated[int, Range(1, 100)] = 1,
        length_penalty: Annotated[float, Range(0, 10)] = 1.0,
    ) -> None:
        library()
        facts = spec.target(target)
        self.target, self.targets, self.metric = facts.name, (facts.name,), metric
        self.modalities, self.length = tuple(spec.signals), facts.length + 1
        self.num_layers, self.num_heads, self.dropout = num_layers, num_heads, dropout
        self.label_smoothing = label_smoothing
        self.decoder, self.pretrained, self.architecture, self.freeze = decoder, pretrained, architecture, freeze
        self.beam_size, self.length_penalty = beam_size, length_penalty
        self._tokenizer = Tokenizer(facts)

    def make_head(self, width: int) -> nn.Module:
        """A decoder over the fused vector and all tokens; see `CaptionHead`."""
        return CaptionHead(
            self._own(width) if self.decoder is None else self._theirs(self.decoder, width),
            TokenInput(self.modalities, width),
            target=self.target,
            length=self.length,
            beam_size=self.beam_size,
            length_penalty=self.length_penalty,
        )

    def _own(self, width: int) -> TransformerDecoder:
        return TransformerDecoder(
            len(self._tokenizer),
            width,
            num_layers=self.num_layers,
            num_heads=self.num_heads,
            dropout=self.dropout,
            length=self.length,
        )

    def _theirs(self, name: str, width: int) -> PretrainedDecoder:
        return PretrainedDecoder(
            len(self._tokenizer),
            width,
            name=name,
            pretrained=self.pretrained,
            architecture=self.architecture,
            freeze=self.freeze,
            length=self.length,
        )

    def weight(self, batch: Batch) -> float:
        """The rows that have a text and count."""
        return float((batch.targets[self.target].mask * batch.weight).sum())

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        """Sum over the rows that have a text of the mean loss of its tokens; a scalar."""
        target, logits = batch.targets[self.target], cast(dict[str, Tensor], outputs)["logits"].float()  # [B,T,V]
        labels = _padded(target.ragged, after=END, padding=_LEFT_OUT)  # [B,T]
        losses = F.cross_entropy(
            logits.transpose(1, 2),
            labels,
            ignore_index=_LEFT_OUT,
            label_smoothing=self.label_smoothing,
            reduction="none",
        ).sum(dim=1) / (labels != _LEFT_OUT).sum(dim=1)
        weights = target.mask * batch.weight  # [B]
        # where, not a product alone: a filling row must not turn the sum into nan
        return torch.where(weights > 0, losses * weights, 0).sum()

    def collect(self, outputs: Outputs, batch: Batch) -> Rows:
        """The text that was written for each row, and the logarithm of its probability."""
        given = cast(dict[str, Tensor], outputs)
        texts: list[object] = [self._tokenizer.decode(row) for row in given["ids"].tolist()]
        return {"text": texts, "log_probability": given["scores"].float().cpu()}

    def metrics(self, results: Results) -> dict[str, float]:
        """CIDEr-D, BLEU, chrF, ROUGE-L and exact match over the rows that have a text; see `mmtrain.caption_scores`."""
        return scores(*known(results, self.target, cast(list[str], self.table(results)["prediction"])))

    def table(self, results: Results) -> dict[str, list[str] | list[float]]:
        """The text, and the logarithm of the probability of its tokens."""
        rows = cast(dict[str, Rows], results.outputs)
        return {
            "prediction": cast(list[str], rows["text"]),
            "log_probability": cast(Tensor, rows["log_probability"]).tolist(),
        }


class CaptionHead(nn.Module):
    """Reads the fused vector, real in every row, and the tokens of all modalities; writes with a decoder.

    Args:
        decoder: Writes.
        tokens: Makes the tokens of all modalities comparable.
        target: The target that is shown to it in training.
        length: Most tokens that it writes.
        beam_size: As in `search`.
        length_penalty: As in `search`.
    """

    reads_targets = True

    def __init__(
        self,
        decoder: TransformerDecoder | PretrainedDecoder,
        tokens: TokenInput,
        *,
        target: str,
        length: int,
        beam_size: int,
        length_penalty: float,
    ) -> None:
        super().__init__()
        self.decoder, self.tokens = decoder, tokens
        self.norm = nn.LayerNorm(decoder.width)
        self.target, self.length = target, length
        self.beam_size, self.length_penalty = beam_size, length_penalty

    def forward(self, fused: Fused, targets: Mapping[str, Target]) -> Outputs:
        """Returns `logits` [B,T,V] after each true token; in eval mode also `ids` [B,T'] and `scores` [B]."""
        memory, mask = self._memory(fused)
        read = self.decoder.read(memory, mask)
        logits, _ = self.decoder(_padded(targets[self.target].ragged, before=START), read, mask)
        return {"logits": logits} if self.training else {"logits": logits, **self._write(read, mask)}

    def _memory(self, fused: Fused) -> tuple[Tensor, Tensor]:
        sequence = fused.sequence
        # Of each tensor [:, span].
        parts = {name: sequence.each(itemgetter((slice(None), span))) for name, span in fused.spans.items()}
        values = torch.cat(self.tokens(parts), dim=1)  # [B,L,D]
        mask = torch.cat([parts[name].mask for name in self.tokens.modalities], dim=1)
        pooled = self.norm(fused.pooled).unsqueeze(1)  # [B,1,D]
        return torch.cat([pooled, values], dim=1), F.pad(mask, (1, 0), value=True)

    def _write(self, read: Kept, mask: Tensor) -> dict[str, Tensor]:
        """What it writes of its own for each row."""
        rows, kept = len(mask), None
        several = mask.repeat_interleave(self.beam_size, dim=0)  # [N,L]
        read = [
            (k.repeat_interleave(self.beam_size, dim=0), v.repeat_interleave(self.beam_size, dim=0)) for k, v in read
        ]

        def step(last: Tensor, origin: Tensor | None) -> Tensor:
            nonlocal kept
            before = None if kept is None else [(keys[origin], values[origin]) for keys, values in kept]
            following, kept = self.decoder(last.unsqueeze(1), read, several, before)
            return cast(Tensor, following)[:, -1]

        found = search(
            step,
            rows,
            length=self.length,
            beam_size=self.beam_size,
            length_penalty=self.length_penalty,
            device=mask.device,
        )
        return {"ids": found.ids, "scores": found.scores}


def _padded(
    rows: Sequence[Tensor], *, before: int | None = None, after: int | None = None, padding: int = PADDING
) -> Tensor:
    """Ids [T] of each row with a token before or after them, as [B,longest T + 1]."""
    device = rows[0].device
    ends = [torch.tensor([] if end is None else [end], dtype=torch.int64, device=device) for end in (before, after)]
    whole = [torch.cat([ends[0], row, ends[1]]) for row in rows]
    return nn.utils.rnn.pad_sequence(whole, batch_first=True, padding_value=padding)

"""Captioning: the loss is a mean over tokens, and what is scored was written without the truth."""

from __future__ import annotations

import math

import pytest
import torch

from mmtrain.contracts import Batch, DataSpec, Fused, SignalSpec, Tokens
from mmtrain.target import Target, TargetSpec
from mmtrain.tasks.captioning import Captioning
from mmtrain.tokenizer import END, SPECIAL

WORDS = TargetSpec("says", "text", tokenizer="words", vocabulary=(*SPECIAL, "a", "cat"), length=3)
SPEC = DataSpec({name: SignalSpec(name, name) for name in ("image", "text")}, {"says": WORDS})


def batch(texts: list[list[int]], mask: list[bool], weight: list[float]) -> Batch:
    values = [torch.tensor(ids, dtype=torch.int64) for ids in texts]
    target = Target(values, torch.tensor(mask), [("a cat",) if has else () for has in mask])
    return Batch({}, {"says": target}, list(map(str, weight)), torch.zeros(len(mask)), torch.tensor(weight), {})


def fused(width: int = 8) -> Fused:
    """Two rows: one with both modalities, one with none."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, 3, width, generator=generator)
    mask = torch.tensor([[True, True, True], [False, False, False]])
    pooled, spans = torch.randn(2, width, generator=generator), {"image": slice(0, 2), "text": slice(2, 3)}
    return Fused(pooled, Tokens(values, mask), spans, {}, mask[:, 1:])


def test_the_loss_is_the_mean_over_the_tokens_of_a_row_and_its_end() -> None:
    """Even odds of six tokens: log 6 a row, whatever its length; rows without a text or weight count nothing."""
    task, rows = Captioning(SPEC), batch([[4, 5], [4], [], [5]], [True, True, False, True], [1.0, 1.0, 1.0, 0.0])

    assert task.weight(rows) == 2.0
    assert task.loss({"logits": torch.zeros(4, 3, 6)}, rows).item() == pytest.approx(2 * math.log(6))


def test_the_token_after_each_true_one_is_asked_for() -> None:
    """Certain of a, cat, end: no loss. In another order: much."""
    right = torch.nn.functional.one_hot(torch.tensor([[4, 5, END]]), 6) * 50.0
    rows = batch([[4, 5]], [True], [1.0])

    assert Captioning(SPEC).loss({"logits": right}, rows).item() == pytest.approx(0, abs=1e-6)
    assert Captioning(SPEC).loss({"logits": right.flip(1)}, rows).item() > 10


@pytest.mark.parametrize("beam_size", [1, 3])
def test_what_is_written_does_not_depend_on_the_truth(beam_size: int) -> None:
    """In eval mode another target gives other logits and the same text; in training nothing is written."""
    torch.manual_seed(0)
    task = Captioning(SPEC, beam_size=beam_size, dropout=0.0)
    head = task.make_head(8).eval()
    one, other = (head(fused(), batch(texts, [True, True], [1, 1]).targets) for texts in ([[4], [5]], [[5], [4]]))

    assert torch.equal(one["ids"], other["ids"])
    assert torch.equal(one["scores"], other["scores"])
    assert not torch.equal(one["logits"], other["logits"])
    assert set(head.train()(fused(), batch([[4], [5]], [True, True], [1, 1]).targets)) == {"logits"}
    assert {len(values) for values in task.collect(one, batch([[], []], [False, False], [1, 1])).values()} == {2}


def test_every_parameter_learns_from_a_batch_that_lacks_some_modalities() -> None:
    """A row without any token reads the fused vector; all is finite."""
    torch.manual_seed(0)
    task = Captioning(SPEC, num_layers=1)
    head, rows = task.make_head(8).train(), batch([[4, 5], [5]], [True, True], [1.0, 1.0])
    task.loss(head(fused(), rows.targets), rows).backward()

    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_padded_tokens_do_not_change_what_is_written() -> None:
    torch.manual_seed(0)
    head, rows = Captioning(SPEC).make_head(8).eval(), batch([[], []], [False, False], [1, 1])
    first = fused()
    values = first.sequence.values.where(first.sequence.mask.unsqueeze(-1), torch.nan)
    dirty = first._replace(sequence=first.sequence._replace(values=values))

    assert torch.equal(head(first, rows.targets)["scores"], head(dirty, rows.targets)["scores"])

"""The decoder reads what is real and what was written, and the search finds what it should."""

from __future__ import annotations

import itertools

import pytest
import torch

from mmtrain.decoder import TransformerDecoder, search
from mmtrain.tokenizer import END, PADDING, START

CPU = torch.device("cpu")


@pytest.fixture
def decoder() -> TransformerDecoder:
    torch.manual_seed(0)
    return TransformerDecoder(7, 8, num_layers=2, num_heads=2, dropout=0.0, length=6).eval()


def memory() -> tuple[torch.Tensor, torch.Tensor]:
    values = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(1))
    return values, torch.tensor([[True, True, True], [True, False, False]])


def test_one_token_at_a_time_scores_as_all_at_once(decoder: TransformerDecoder) -> None:
    """What is kept of the tokens before stands for them."""
    values, mask = memory()
    ids, read = torch.tensor([[2, 4, 5, 6], [2, 6, 6, 4]]), decoder.read(values, mask)
    whole, _ = decoder(ids, read, mask)
    kept, steps = None, []
    for place in range(ids.shape[1]):
        scores, kept = decoder(ids[:, place : place + 1], read, mask, kept)
        steps.append(scores)

    torch.testing.assert_close(torch.cat(steps, dim=1), whole)


def test_neither_later_tokens_nor_padding_of_what_is_read_change_a_score(decoder: TransformerDecoder) -> None:
    values, mask = memory()
    first, _ = decoder(torch.tensor([[2, 4, 5], [2, 6, 5]]), decoder.read(values, mask), mask)
    changed = values.where(mask.unsqueeze(-1), torch.tensor(9.0))
    other, _ = decoder(torch.tensor([[2, 4, 6], [2, 6, 4]]), decoder.read(changed, mask), mask)

    torch.testing.assert_close(first[:, :2], other[:, :2])
    assert not torch.allclose(first[:, 2], other[:, 2])


def test_too_many_heads_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`num_heads` \(=3\) must divide `width` \(=8\)"):
        TransformerDecoder(7, 8, num_layers=1, num_heads=3, dropout=0.0, length=6)


def chain(table: torch.Tensor):
    """A step whose scores depend on the last token only: table [V,V]."""
    return lambda last, origin: table[last]


def likeliest(table: torch.Tensor, length: int, penalty: float) -> tuple[list[int], float]:
    """By every text of tokens 4 and 5 that ends within the length."""
    logs, found = table.log_softmax(dim=1), {}
    for size in range(length):
        for text in itertools.product((4, 5), repeat=size):
            path = [START, *text, END]
            total = sum(logs[one, other].item() for one, other in itertools.pairwise(path))
            found[(*text, END)] = total / (size + 1) ** penalty
    best = max(found, key=found.__getitem__)
    return list(best), found[best] * len(best) ** penalty


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_the_likeliest_text(seed: int, penalty: float) -> None:
    """Of 15 texts of at most three tokens and an end, where the end is likely."""
    table = torch.randn(6, 6, generator=torch.Generator().manual_seed(seed))
    table[:, END] += 1
    table[:, : START + 1] = -20.0  # the table itself never goes back to a special token
    found = search(chain(table), 1, length=4, beam_size=30, length_penalty=penalty, device=CPU)
    text, score = likeliest(table, 4, penalty)

    assert [token for token in found.ids[0].tolist() if token != PADDING] == text
    assert found.scores.item() == pytest.approx(score, abs=1e-4)


def test_a_beam_of_one_takes_the_likeliest_token_each_time_and_rows_wait_for_each_other() -> None:
    """Row 0 says 4, 5, end; row 1 ends at once. 4 is likelier at the start, though 5 would lead further."""
    table = torch.full((6, 6), -9.0)
    table[START, 4], table[START, 5], table[4, 5], table[5, END] = 2.0, 1.9, 0.0, 9.0
    ends = torch.full((6, 6), -9.0)
    ends[:, END] = 9.0
    found = search(
        lambda last, origin: torch.stack([table[last[0]], ends[last[1]]]),
        2,
        length=5,
        beam_size=1,
        length_penalty=1.0,
        device=CPU,
    )

    assert found.ids.tolist() == [[4, 5, END], [END, PADDING, PADDING]]


def test_what_is_padding_unknown_or_a_start_is_never_written() -> None:
    table = torch.zeros(6, 6)
    table[:, [0, 1, 2]] = 9.0
    found = search(chain(table), 1, length=3, beam_size=2, length_penalty=0.0, device=CPU)

    assert not {PADDING, 1, START} & set(found.ids[0, :1].tolist())

"""What reads tokens in order: means by hand, padding that is never read, sizes by formula."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mmtrain.contracts import Tokens
from mmtrain.temporal import TimeGRU, TimeMean, TimeTransformer

MASK = torch.tensor([[True, True, False], [False] * 3, [True, True, True]])


def tokens(padding: float = 0.0) -> Tokens:
    values = torch.arange(36.0).view(3, 3, 4) / 10
    return Tokens(values.where(MASK.unsqueeze(-1), torch.tensor(padding)), MASK)


def test_the_mean_is_one_token_over_the_real_ones():
    """(0 + 4) / 2 / 10 = 0.2 for the first number of the first row."""
    mean = TimeMean(4)(tokens())

    assert mean.values.shape == (3, 1, 4)
    assert mean.values[0, 0, 0].item() == pytest.approx(0.2)
    assert mean.mask.tolist() == [[True], [False], [True]]


@pytest.mark.parametrize(
    ("build", "width"),
    [(lambda: TimeGRU(4, hidden_size=3), 6), (lambda: TimeTransformer(4, hidden_size=8, num_heads=2), 8)],
)
def test_each_token_has_read_the_others_and_no_padding(build, width: int):
    """A later token changes an earlier one, what lies behind the end changes nothing."""
    torch.manual_seed(0)
    module = build().eval()
    changed = tokens()
    changed.values[2, 2] += 1
    first, padded, other = (module(one).values for one in (tokens(), tokens(padding=7.0), changed))

    assert module.width == first.shape[-1] == width
    assert torch.equal(first[MASK], padded[MASK])
    assert not torch.allclose(first[2, 0], other[2, 0])


def test_a_forward_gru_reads_only_what_came_before():
    module = TimeGRU(4, bidirectional=False).eval()
    changed = tokens()
    changed.values[2, 2] += 1

    assert torch.equal(module(tokens()).values[2, :2], module(changed).values[2, :2])


def test_a_gru_has_the_parameters_of_its_formula():
    """3 gates of (inputs + states + two biases) for each of 5 states, in one direction."""
    module: nn.Module = TimeGRU(4, hidden_size=5, bidirectional=False)

    assert sum(p.numel() for p in module.parameters()) == 3 * 5 * (4 + 5 + 2)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TimeGRU(4, dropout=0.5), "acts between layers"),
        (lambda: TimeTransformer(4, hidden_size=20, num_heads=4), r"must divide `hidden_size` \(=20\); try 16"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(build, message: str):
    with pytest.raises(ValueError, match=message):
        build()

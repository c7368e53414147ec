"""Modality dropout: how often, never all, always the same for the same key."""

from __future__ import annotations

import pytest
import torch

from mmtrain.contracts import Batch, Signal
from mmtrain.techniques.modality_dropout import drop, keep


def batch(present: dict[str, list[bool]]) -> Batch:
    """Rows that have some modalities; two steps each, of which the second is padding."""
    size = len(next(iter(present.values())))
    step = torch.tensor([True, False])
    signals = {n: Signal(torch.ones(size, 2), torch.tensor(flags).unsqueeze(1) & step) for n, flags in present.items()}
    return Batch(
        signals, {}, [str(i) for i in range(size)], torch.arange(size), torch.ones(size), dict.fromkeys(present)
    )


def test_a_row_keeps_each_modality_with_its_probability():
    """3,000 rows of two modalities at .3: both stay in .49, all but one in .51; one that is alone always stays."""
    both = keep(torch.arange(3000), torch.ones(3000, 2, dtype=torch.bool), 0.3)
    alone = keep(torch.arange(100), torch.tensor([[False, True]]).expand(100, -1), 0.9)

    assert both.all(dim=1).float().mean().item() == pytest.approx(0.49, abs=0.03)
    assert both[:, 0].float().mean().item() == pytest.approx(0.745, abs=0.03)  # .49 + half of .51
    assert both.any(dim=1).all()
    assert alone[:, 1].all()


def test_what_is_dropped_is_absent():
    """Its mask is False, its row is not among those that the encoder gets, and no row is left with nothing."""
    whole = batch({"a": [True] * 40, "b": [True] * 39 + [False]})
    less = drop(whole, 0.5)
    there = {name: signal.mask.any(dim=1) for name, signal in less.signals.items()}

    assert (there["a"] | there["b"]).all()
    assert there["a"][39]
    for name, flags in there.items():
        assert 0 < int(flags.sum()) < 39
        assert torch.equal(less.rows[name], flags.nonzero().squeeze(1))
        assert not less.signals[name].mask[:, 1].any()


def test_the_keys_alone_decide():
    """A row loses the same beside other rows; other keys lose others."""
    present = torch.ones(50, 3, dtype=torch.bool)
    first, second = keep(torch.arange(50), present, 0.5), keep(torch.arange(50, 100), present, 0.5)

    assert torch.equal(keep(torch.arange(20, 50), present[20:], 0.5), first[20:])
    assert not torch.equal(first, second)


def test_a_rate_of_zero_or_a_single_modality_changes_nothing():
    whole = batch({"a": [True, True], "b": [True, False]})
    single = batch({"a": [True, True]})

    assert drop(whole, 0.0) is whole
    assert drop(single, 0.9) is single

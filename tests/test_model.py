"""The model: what an absent modality holds never matters, and everything that can learn does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mmtrain.contracts import Batch, Fused, Signal, Tokens
from mmtrain.fusion.concat import ConcatFusion
from mmtrain.model import MultimodalModel, parameter_counts


class Probe(nn.Module):
    """An encoder with batch statistics: [B,3] -> one token of 4, and a note of how many rows it saw."""

    width = 4

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.seen: list[int] = []

    def forward(self, signal: Signal) -> Tokens:
        self.seen.append(len(signal.values))
        return Tokens(self.layers(signal.values).unsqueeze(1), signal.mask[:, :1])


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 2)

    def forward(self, fused: Fused) -> Tensor:
        logits: Tensor = self.linear(fused.pooled)
        return logits


def model() -> MultimodalModel:
    torch.manual_seed(0)
    encoders = {"a": Probe(), "b": Probe()}
    return MultimodalModel(encoders, ConcatFusion(("a", "b"), 8), Head(), width=8)


def batch(present: dict[str, list[bool]], fill: float = 9.0) -> Batch:
    generator = torch.Generator().manual_seed(1)
    signals, rows = {}, {}
    for name, flags in present.items():
        mask = torch.tensor(flags).unsqueeze(1)  # [B,1]
        values = torch.where(mask, torch.randn(len(flags), 3, generator=generator), fill)
        signals[name] = Signal(values, mask.expand(-1, 3))
        rows[name] = None if all(flags) else torch.tensor([i for i, flag in enumerate(flags) if flag])
    size = len(next(iter(present.values())))
    return Batch(signals, {}, [str(i) for i in range(size)], torch.zeros(size), torch.ones(size), rows)


@pytest.mark.parametrize("training", [True, False])
def test_what_an_absent_modality_holds_never_matters(training: bool) -> None:
    """Zeros, thousands or nan under the mask give the same outputs, in training too."""
    outputs = []
    for fill in (0.0, 1e4, torch.nan):
        net = model().train(training)
        outputs.append(net(batch({"a": [True, True, False], "b": [True, True, True]}, fill)))

    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


def test_in_training_an_encoder_sees_present_rows_only() -> None:
    """Two of three rows have `a`; in eval mode every row runs, so that shapes never depend on the data."""
    net = model()
    rows = batch({"a": [True, False, True], "b": [True, True, True]})
    net.train()(rows)
    net.eval()(rows)

    assert net.encoders["a"].seen == [2, 3]
    assert net.encoders["b"].seen == [3, 3]


def test_one_present_row_uses_running_statistics() -> None:
    """A single row has no variance: its step neither uses nor moves the batch statistics."""
    net = model().train()
    norm = net.encoders["a"].layers[1]
    net(batch({"a": [True, False, False], "b": [True, True, True]}))

    assert norm.num_batches_tracked.item() == 0
    assert norm.training


def test_no_present_row_skips_the_encoder() -> None:
    """A batch in which nobody has a modality trains on the others."""
    net = model().train()
    outputs = net(batch({"a": [False, False], "b": [True, True]}))
    torch.autograd.backward(outputs.sum())

    assert net.encoders["a"].seen == []
    assert bool(torch.isfinite(outputs).all())
    assert net.encoders["b"].layers[0].weight.grad is not None


def test_rows_of_the_batch_do_not_meet_in_eval_mode() -> None:
    """A row's output is the same alone and among others."""
    net = model().eval()
    rows = batch({"a": [True, False, True], "b": [True, True, False]})
    alone = replace(
        rows,
        ids=["2"],
        signals={name: Signal(s.values[2:], s.mask[2:]) for name, s in rows.signals.items()},
    )

    torch.testing.assert_close(net(rows)[2:], net(alone), rtol=1e-5, atol=1e-6)


def test_a_shared_encoder_is_one_module() -> None:
    """Two names, one set of weights, counted once."""
    encoder = Probe()
    net = MultimodalModel({"a": encoder, "b": encoder}, ConcatFusion(("a", "b"), 8), Head(), width=8)

    assert list(net.encoders) == ["a"]
    assert parameter_counts(net)["encoder a"] == sum(p.numel() for p in encoder.parameters())
    assert net.eval()(batch({"a": [True, True], "b": [True, True]})).shape == (2, 2)


def test_a_null_token_stands_for_an_absent_modality() -> None:
    """One real token, the learned one, whatever the absent signal holds; present rows keep their own."""
    torch.manual_seed(0)
    net = MultimodalModel({"a": Probe()}, ConcatFusion(("a",), 8), Head(), width=8, null_tokens=True).eval()
    plain, dirty = (net.encode(batch({"a": [True, False]}, fill)) for fill in (0.0, torch.nan))

    assert plain["a"].mask.tolist() == [[True], [True]]
    assert torch.equal(plain["a"].values[1, 0], net.null_tokens[0])
    assert not torch.equal(plain["a"].values[0, 0], net.null_tokens[0])
    assert torch.equal(plain["a"].values, dirty["a"].values)

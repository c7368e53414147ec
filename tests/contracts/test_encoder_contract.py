"""What every encoder owes the model, whatever its architecture."""

from __future__ import annotations

import socket

import pytest
import torch

from mmtrain import hub, weights, word_vectors
from mmtrain.components import factory
from mmtrain.compose import without_initial_weights
from mmtrain.contracts import Signal, SignalSpec, Tokens
from tests.components import STEPS, Shipped, make_signal, one_row, unregistered

NAN = float("nan")


def real(tokens: Tokens) -> torch.Tensor:
    return tokens.values[tokens.mask]


def test_yaml_begins_with_one_line_that_says_what_it_is(encoder: Shipped):
    first = encoder.path.read_text(encoding="utf-8").splitlines()[0]

    assert first.startswith("# ")
    assert 10 < len(first) <= 82


def test_yaml_sets_every_argument_to_the_default_of_the_constructor(encoder: Shipped):
    """One schema: reading the YAML tells what the class does by itself, and the reverse."""
    assert encoder.arguments == encoder.defaults


def test_output_is_tokens_of_the_width_it_states(encoder: Shipped, spec: SignalSpec, signal: Signal):
    module = encoder.build(spec).eval()
    tokens = module(signal)
    rows, count = tokens.mask.shape

    assert rows == len(signal.mask)
    assert tokens.values.shape == (rows, count, module.width)
    assert tokens.mask.dtype == torch.bool
    assert tokens.positions is None or tokens.positions.shape == (rows, count, 3)


def test_a_sample_has_tokens_exactly_if_it_has_the_modality(encoder: Shipped, spec: SignalSpec, signal: Signal):
    tokens = encoder.build(spec).eval()(signal)

    assert torch.equal(tokens.mask.any(dim=1), signal.mask.any(dim=1))


def test_what_lies_under_the_mask_changes_nothing(encoder: Shipped, spec: SignalSpec):
    """Padding and absent rows may hold nan, or ids beyond the vocabulary."""
    module = encoder.build(spec).eval()
    clean = module(make_signal(spec, STEPS[encoder.kind]))
    dirty = module(make_signal(spec, STEPS[encoder.kind], payload=999 if spec.vocabulary else NAN))

    assert torch.equal(clean.mask, dirty.mask)
    torch.testing.assert_close(real(clean), real(dirty), rtol=1e-5, atol=1e-6)


def test_neither_other_rows_nor_padding_change_a_row(encoder: Shipped, spec: SignalSpec):
    """Alone and cut to its own length, a row gives as many tokens of the same values; over two dozen lengths.

    So also where a window of a convolution or of a pooling crosses the end of a row.
    """
    module = encoder.build(spec).eval()
    steps = [0, *range(1, spec.length + 1, max(1, spec.length // 24)), spec.length]
    signal = make_signal(spec, steps)
    together = module(signal)

    for row, length in enumerate(steps):
        alone = module(one_row(signal, spec, row, length))
        expected = together.values[row][together.mask[row]]
        torch.testing.assert_close(real(alone), expected, rtol=1e-5, atol=1e-5)


def test_every_parameter_is_trained(encoder: Shipped, spec: SignalSpec):
    """Over rows with and without the modality, nan under the mask, each parameter gets a finite gradient, not zero."""
    module = encoder.build(spec).train()
    tokens = module(make_signal(spec, STEPS[encoder.kind], payload=999 if spec.vocabulary else NAN))
    out = tokens.values.where(tokens.mask.unsqueeze(-1), torch.tensor(0.0))
    (out * torch.randn(out.shape, generator=torch.Generator().manual_seed(3))).sum().backward()

    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().max() > 0, name


def test_a_state_dict_holds_all_that_decides_the_output(encoder: Shipped, spec: SignalSpec, signal: Signal):
    """Trained a step, stored, and loaded into one made from another seed, the encoder answers the same."""
    first, second = encoder.build(spec, seed=0), encoder.build(spec, seed=1)
    first.train()(signal)
    second.load_state_dict(first.state_dict())

    assert unregistered(first) == []
    assert torch.equal(first.eval()(signal).values, second.eval()(signal).values)


@pytest.mark.parametrize("training", [True, False])
def test_a_batch_without_the_modality_is_finite(encoder: Shipped, spec: SignalSpec, training: bool):
    module = encoder.build(spec).train(training)
    tokens = module(make_signal(spec, [0, 0]))
    tokens.values.sum().backward()

    assert torch.isfinite(tokens.values).all()
    assert not tokens.mask.any()
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)


def test_the_smallest_input_is_enough(encoder: Shipped, smallest: SignalSpec):
    tokens = encoder.build(smallest).eval()(make_signal(smallest, [1, 1]))

    assert torch.isfinite(tokens.values).all()
    assert tokens.mask.any(dim=1).all()


def test_another_kind_of_modality_is_refused_in_one_line(encoder: Shipped, others: list[SignalSpec]):
    for other in others:
        with pytest.raises(ValueError, match=f"modality `{other.name}` is {other.kind}") as caught:
            encoder.build(other)
        assert "\n" not in str(caught.value)


def test_without_first_weights_no_file_and_no_network_is_asked(
    encoder: Shipped, spec: SignalSpec, monkeypatch: pytest.MonkeyPatch
):
    """As when a run is built again from its folder: whatever its keys name, `without_initial_weights` clears them."""
    node = encoder.node
    first = {name: "gone/weights.pth" for name in ("weights", "vectors") if name in node}
    first |= {"pretrained": True} if "pretrained" in node else {}
    cleared = without_initial_weights({"encoder": {spec.name: {**node, **first}}, "task": {}})["encoder"][spec.name]

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something outside was asked for")

    for place in ("fetch", "load_weights"):
        monkeypatch.setattr(weights, place, refuse)
    for place in ("file", "architecture"):
        monkeypatch.setattr(hub, place, refuse)
    monkeypatch.setattr(word_vectors, "read_vectors", refuse)
    monkeypatch.setattr(socket, "socket", refuse)

    assert list(factory(cleared, encoder.option)(spec).parameters())

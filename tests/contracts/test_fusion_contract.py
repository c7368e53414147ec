"""What every fusion strategy owes the model, for one to four modalities."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import pad

from mmtrain.contracts import Fused, Tokens
from tests.components import Shipped, make_tokens, unregistered

WIDTH = 8
NAMES = ("text", "image", "audio", "image_2")


def rows(count: int) -> list[list[bool]]:
    """All modalities, each alone, each lacking, none."""
    eye = torch.eye(count, dtype=torch.bool)
    return [[True] * count, *eye.tolist(), *(~eye).tolist(), [False] * count]


def tensors(fused: Fused) -> list[torch.Tensor]:
    """All that a head may read of the real tokens."""
    weights = [] if fused.weights is None else [fused.weights]
    return [fused.pooled, *fused.by_modality.values(), fused.sequence.values[fused.sequence.mask], *weights]


@pytest.fixture(params=[1, 2, 3, 4], ids="M{}".format)
def names(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return NAMES[: request.param]


def test_yaml_begins_with_one_line_that_says_what_it_is(fusion: Shipped):
    first = fusion.path.read_text(encoding="utf-8").splitlines()[0]

    assert first.startswith("# ")
    assert 10 < len(first) <= 82


def test_yaml_sets_every_argument_to_the_default_of_the_constructor(fusion: Shipped):
    """One schema: reading the YAML tells what the class does by itself, and the reverse."""
    assert fusion.arguments == fusion.defaults


def test_every_field_has_its_shape(fusion: Shipped, names: tuple[str, ...]):
    tokens = make_tokens(names, rows(len(names)))
    fused = fusion.build(names, WIDTH).eval()(tokens)
    samples = len(rows(len(names)))

    assert fused.pooled.shape == (samples, WIDTH)
    assert torch.equal(fused.presence, torch.tensor(rows(len(names))))
    assert fused.weights is None or fused.weights.shape == fused.presence.shape
    assert list(fused.by_modality) == list(fused.spans) == list(names)
    for name in names:
        assert fused.by_modality[name].shape == (samples, WIDTH)
        assert torch.equal(fused.sequence.mask[:, fused.spans[name]], tokens[name].mask)
        assert fused.sequence.values[:, fused.spans[name]].shape == tokens[name].values.shape


def test_an_absent_modality_has_no_weight(fusion: Shipped, names: tuple[str, ...]):
    fused = fusion.build(names, WIDTH).eval()(make_tokens(names, rows(len(names))))

    if fused.weights is not None:
        assert torch.equal(fused.weights > 0, fused.presence)
        assert (fused.weights.sum(dim=1) <= 1 + 1e-6).all()


def test_what_lies_under_the_mask_changes_nothing(fusion: Shipped, names: tuple[str, ...]):
    """Padding and absent modalities may hold nan."""
    module = fusion.build(names, WIDTH).eval()
    tokens = make_tokens(names, rows(len(names)))
    dirty = {
        name: Tokens(t.values.where(t.mask.unsqueeze(-1), torch.tensor(float("nan"))), t.mask)
        for name, t in tokens.items()
    }

    for clean, other in zip(tensors(module(tokens)), tensors(module(dirty)), strict=True):
        torch.testing.assert_close(clean, other, rtol=1e-5, atol=1e-6)


def test_more_padding_changes_nothing(fusion: Shipped, names: tuple[str, ...]):
    module = fusion.build(names, WIDTH).eval()
    tokens = make_tokens(names, rows(len(names)))
    longer = {name: Tokens(pad(t.values, (0, 0, 0, 3), value=7.0), pad(t.mask, (0, 3))) for name, t in tokens.items()}

    for short, long in zip(tensors(module(tokens)), tensors(module(longer)), strict=True):
        torch.testing.assert_close(short, long, rtol=1e-5, atol=1e-6)


def test_other_rows_change_nothing(fusion: Shipped, names: tuple[str, ...]):
    module = fusion.build(names, WIDTH).eval()
    tokens = make_tokens(names, rows(len(names)))
    together = module(tokens).pooled

    for row in range(len(together)):
        alone = module({n: Tokens(t.values[row : row + 1], t.mask[row : row + 1]) for n, t in tokens.items()}).pooled
        torch.testing.assert_close(alone[0], together[row], rtol=1e-5, atol=1e-6)


def test_the_order_of_the_mapping_is_irrelevant(fusion: Shipped, names: tuple[str, ...]):
    module = fusion.build(names, WIDTH).eval()
    tokens = make_tokens(names, rows(len(names)))
    first, second = module(tokens), module(dict(reversed(tokens.items())))

    assert torch.equal(first.pooled, second.pooled)
    assert torch.equal(first.sequence.values, second.sequence.values)
    assert first.spans == second.spans


def test_the_order_of_the_config_decides(fusion: Shipped):
    names = ("audio", "text", "image")
    fused = fusion.build(names, WIDTH).eval()(make_tokens(NAMES, rows(4)))

    assert list(fused.spans) == list(names)
    assert [span.start for span in fused.spans.values()] == [0, 4, 6]  # audio has 4 tokens, text 2, image 3


def test_every_parameter_is_trained(fusion: Shipped, names: tuple[str, ...]):
    """Over rows with and without each modality, each parameter gets a finite gradient that is not zero."""
    module = fusion.build(names, WIDTH).train()
    fused = module(make_tokens(names, rows(len(names))))
    loss = fused.pooled.sin().sum() + fused.sequence.values.sum() + sum(v.sum() for v in fused.by_modality.values())
    if loss.requires_grad:
        loss.backward()

    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_gradient_reaches_the_real_tokens_and_no_others(fusion: Shipped, names: tuple[str, ...]):
    """Also in samples that lack all modalities but one, or all."""
    module = fusion.build(names, WIDTH).train()
    tokens = make_tokens(names, rows(len(names)))
    leaves = {name: t.values.clone().requires_grad_() for name, t in tokens.items()}
    module({name: Tokens(leaves[name], tokens[name].mask) for name in names}).pooled.sin().sum().backward()

    for name in names:
        assert torch.isfinite(leaves[name].grad).all()
        assert torch.equal(leaves[name].grad.abs().sum(dim=2) > 0, tokens[name].mask)


def test_modalities_interact(fusion: Shipped):
    """f(a,b) - f(a',b) - f(a,b') + f(a',b') is zero for a sum of one function a modality, as a mean without parameters
    is, and not for what has a hidden layer."""
    names = NAMES[:2]
    module = fusion.build(names, WIDTH).eval()
    a, b = torch.randn(2, 2, 1, WIDTH, generator=torch.Generator().manual_seed(4))  # [2,1,D] each
    mask = torch.ones(4, 1, dtype=torch.bool)
    tokens = {"text": Tokens(a[[0, 1, 0, 1]], mask), "image": Tokens(b[[0, 0, 1, 1]], mask)}
    signs = torch.tensor([1.0, -1.0, -1.0, 1.0]).unsqueeze(1)

    interaction = (module(tokens).pooled * signs).sum(dim=0).abs().max()
    assert (interaction > 1e-4) == bool(list(module.parameters()))


def test_a_state_dict_holds_all_that_decides_the_output(fusion: Shipped, names: tuple[str, ...]):
    first, second = fusion.build(names, WIDTH, seed=0), fusion.build(names, WIDTH, seed=1)
    second.load_state_dict(first.state_dict())
    tokens = make_tokens(names, rows(len(names)))

    assert unregistered(first) == []
    assert torch.equal(first.eval()(tokens).pooled, second.eval()(tokens).pooled)

"""Runs every contract test over every YAML in configs/augment, encoder and fusion; there is no list to edit."""

from __future__ import annotations

import pytest

from mmtrain.contracts import Signal, SignalSpec
from tests.components import CONFIGS, SMALLEST, SPECS, STEPS, Shipped, make_signal


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for group in ("augment", "encoder", "fusion"):
        if group in metafunc.fixturenames:
            shipped = [Shipped(path) for path in sorted((CONFIGS / group).rglob("*.yaml"))]
            metafunc.parametrize(group, shipped, ids=[one.option for one in shipped])


@pytest.fixture
def spec(encoder: Shipped) -> SignalSpec:
    """A small modality of the kind that the encoder reads."""
    return SPECS[encoder.kind]


@pytest.fixture
def smallest(encoder: Shipped) -> SignalSpec:
    """The smallest legal modality of the kind that the encoder reads."""
    return SMALLEST[encoder.kind]


@pytest.fixture
def others(encoder: Shipped) -> list[SignalSpec]:
    """Modalities of the kinds that the encoder does not read."""
    return [spec for kind, spec in SPECS.items() if kind != encoder.kind]


@pytest.fixture
def signal(encoder: Shipped, spec: SignalSpec) -> Signal:
    """A batch: a full row, one that lacks the modality, the shortest there is, one of middling length."""
    return make_signal(spec, STEPS[encoder.kind])

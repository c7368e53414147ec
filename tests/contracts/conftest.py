"""Runs every contract test over every YAML in configs/augment, encoder and fusion; there is no list to edit."""

from __future__ import annotations

import pytest

from mmtrain.contracts import Signal, SignalSpec
from tests.components import CONFIGS, OWN, SLOW, SMALLEST, SPECS, STEPS, Shipped, make_signal


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for group in ("augment", "encoder", "fusion"):
        if group in metafunc.fixturenames:
            shipped = [Shipped(path) for path in sorted((CONFIGS / group).rglob("*.yaml"))]
            slow = {True: (pytest.mark.slow,), False: ()}
            cases = [pytest.param(one, id=one.option, marks=slow[one.option in SLOW]) for one in shipped]
            metafunc.parametrize(group, cases)


@pytest.fixture
def spec(encoder: Shipped) -> SignalSpec:
    """A small modality of the kind that the encoder reads."""
    return OWN[encoder.option][0] if encoder.option in OWN else SPECS[encoder.kind]


@pytest.fixture
def smallest(encoder: Shipped) -> SignalSpec:
    """The smallest legal modality of the kind that the encoder reads."""
    return OWN[encoder.option][1] if encoder.option in OWN else SMALLEST[encoder.kind]


@pytest.fixture
def others(encoder: Shipped) -> list[SignalSpec]:
    """Modalities of the kinds that the encoder does not read."""
    return [spec for kind, spec in SPECS.items() if kind != encoder.kind]


@pytest.fixture
def signal(encoder: Shipped, spec: SignalSpec) -> Signal:
    """A batch: a full row, one that lacks the modality, the shortest there is, one of middling length."""
    return make_signal(spec, STEPS[encoder.kind])

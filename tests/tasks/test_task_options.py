"""The YAML of a task says what its constructor does."""

from __future__ import annotations

import pytest

from tests.components import CONFIGS, Shipped

OPTIONS = [Shipped(path) for path in sorted((CONFIGS / "task").glob("*.yaml"))]


@pytest.mark.parametrize("shipped", OPTIONS, ids=lambda shipped: shipped.option)
def test_a_yaml_holds_every_argument_with_its_default(shipped: Shipped) -> None:
    """The one argument without a default is the mapping of the tasks inside, empty at first."""
    defaults = {name: {} if name == "tasks" else value for name, value in shipped.defaults.items()}

    assert {name: value for name, value in shipped.node.items() if name != "_target_"} == defaults

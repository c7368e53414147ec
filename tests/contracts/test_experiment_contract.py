"""What every shipped experiment promises: it composes without a fault, and says what it reaches and by what command."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmtrain.check import faults
from tests.components import CONFIGS

EXPERIMENTS = sorted((CONFIGS / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_composes_and_says_what_it_reaches(path: Path):
    """Those on a table of one's own need its path."""
    text = path.read_text(encoding="utf-8")
    own = ["dataset.path=table.csv"] if "override /dataset: table" in text else []

    assert faults([f"experiment={path.stem}", *own]) == []
    header = " ".join(line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#"))
    for said in ("Claim: ", "Time: ", "Command: mmtrain "):
        assert said in header, said
    assert f"experiment={path.stem}" in header.split("Command: ")[1]

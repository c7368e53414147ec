"""The table of all fusions: none is forgotten, and its part of easy-VQA is what it says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from mmtrain import compose

ROOT = Path(__file__).parents[1]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.delitem(sys.modules, "all_fusions", raising=False)
    return __import__("all_fusions")


def test_the_study_has_every_fusion_that_joins_modalities():
    study = yaml.safe_load((ROOT / "configs" / "study" / "all_fusions.yaml").read_text(encoding="utf-8"))

    assert sorted([*study["axes"]["fusion"], "none"]) == compose.group_options("fusion")


def test_a_tenth_of_the_pictures_stays_and_the_floors_are_told(script, tmp_path, monkeypatch, capsys):
    """Of 20 pictures the first and the eleventh. `Red?` is answered yes there, `Blue?` no, twice; of the test, by the
    question two of three are right, and by the most frequent answer, no, one."""
    lines = ["split,image,text,label"]
    for number in range(20):
        lines += [
            f"train,{number:02}.png,Red?,yes",
            f"train,{number:02}.png,Blue?,no",
            f"train,{number:02}.png,Big?,no",
        ]
    lines += ["test,90.png,Red?,yes", "test,90.png,Blue?,no", "test,91.png,Blue?,yes"]
    (tmp_path / "all.csv").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    rows = script.tenth(tmp_path / "all.csv").read_text(encoding="utf-8").splitlines()

    assert {row.split(",")[1] for row in rows[1:]} == {"00.png", "10.png", "90.png", "91.png"}
    assert len(rows) == 1 + 6 + 3
    said = capsys.readouterr().out
    assert "2 pictures with 6 questions to train on, 3 to test" in said
    assert "most frequent answer 0.333, the question alone 0.667" in said

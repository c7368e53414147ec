"""The notebook in docs/ runs from its first cell to its last."""

from __future__ import annotations

import json
from pathlib import Path

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


def cells() -> list[str]:
    """The source of the code cells."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_runs_in_order(tmp_path, monkeypatch):
    """Its cells share one namespace, as in Jupyter; what it trains, it opens again with the same scores."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mmtrain.device._usable_cores", lambda: 1)  # where tests run side by side, threads only wait
    names: dict[str, object] = {}

    for number, source in enumerate(cells(), 1):
        exec(compile(source, f"{NOTEBOOK.name} cell {number}", "exec"), names)

    assert len(names["predictions"]["prediction"]) == 2
    assert names["again"].evaluate("test")["accuracy"] == names["run"].metrics()["accuracy"]
    assert names["run"].folder.resolve().is_relative_to(tmp_path)


def test_the_notebook_is_stored_without_what_it_showed():
    """Outputs are large, differ from machine to machine and may hold paths."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))

    assert [cell["id"] for cell in notebook["cells"] if cell.get("outputs") or cell.get("execution_count")] == []

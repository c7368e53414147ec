"""What a run tells of an evaluation."""

from __future__ import annotations

from types import SimpleNamespace

from mmtrain.contracts import Results
from mmtrain.telling import write_evaluation


def test_a_line_shows_sixteen_scores_and_says_where_the_others_are():
    """All are recorded; a standard error is shown nowhere."""
    lines, rows = [], []
    run = SimpleNamespace(
        state=SimpleNamespace(progress=SimpleNamespace(step=7)),
        recorder=SimpleNamespace(write=lambda kind, step, **values: rows.append(values)),
        meter=SimpleNamespace(line=lines.append),
        total_steps=9,
    )
    scores = {"ap50": 0.25, "ap50_se": 0.1} | {f"ap50_{number}": 0.5 for number in range(20)}

    write_evaluation(run, "val", Results(["a"], [], {}, 1.5), scores)

    assert lines[0].startswith("step 7/9  val  loss 1.5  ap50 0.25  ap50_0 0.5  ap50_1 0.5  ")
    assert lines[0].endswith("  ap50_14 0.5  and 5 more in metrics.jsonl")
    assert rows[0]["ap50_19"] == 0.5

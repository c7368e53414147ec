"""The end of a run: its best weights, or a soup of several, are tested once."""

from __future__ import annotations

from mmtrain import checkpoint, imbalance, page, patterns
from mmtrain.evaluation import prediction_columns, scores
from mmtrain.loop import score
from mmtrain.record import write_table
from mmtrain.report import ceiling_lines, say
from mmtrain.run import Run, Tested
from mmtrain.soup import greedy
from mmtrain.state import load_weights, restore_calibration, weights_of
from mmtrain.telling import write_evaluation, write_patterns


def finish(run: Run, tested: Tested | None) -> None:
    """Tests the weights that validation has chosen, once."""
    progress = run.state.progress
    best, run.state.average = progress.chosen_step, None  # from here on the model has the weights that count
    run.peers.sum([0])  # the first process may still be writing what the others are to read
    if run.settings.trainer.soup > 1:
        greedy(run)
    saved = checkpoint.at_step(run.folder / "checkpoints", best)
    load_weights(run.state.model, weights_of(saved.tensors))
    restore_calibration(run.task, saved.values)
    split = "test" if "test" in run.data.source.splits else "val"
    results = score(run, split)
    metrics = scores(run.task, results)
    if run.recorder is None:
        imbalance.tell(run, split, metrics[run.task.metric])
        return
    say(f"best step {best} of {progress.step}, by {run.task.metric} on val")
    write_evaluation(run, split, results, metrics, checkpoint=best)
    found = patterns.by_pattern(run.task, results, run.data.source, list(run.data.spec.signals))
    write_patterns(run, split, found, checkpoint=best)
    imbalance.tell(run, split, metrics[run.task.metric])
    write_table(run.folder / "predictions" / f"{split}.csv", prediction_columns(run.data, run.task, results))
    page.write(
        run.folder,
        data=run.data,
        task=run.task,
        results=results,
        parameters=run.parameters,
        split=split,
        best_step=best,
        patterns=found,
    )
    if tested is not None:
        tested(run, split, results)
    run.recorder.write(
        "end", progress.step, best_step=best, metric=run.task.metric, higher_is_better=run.task.higher_is_better
    )
    used = "+".join(sorted(run.data.spec.signals, key=list(run.data.source.kinds).index))
    if used in run.data.spec.ceilings and split == "test" and "accuracy" in metrics:
        say(ceiling_lines(run.data.spec.ceilings, used, metrics["accuracy"]))
    say(f"report: {run.folder / 'report.html'}\ndone: {run.folder}")

"""Measures what gradient blending weighs: the losses of all heads over validation rows and as many training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from mmtrain.data.loader import batches
from mmtrain.evaluation import in_order
from mmtrain.run import Run


def reweigh(run: Run) -> None:
    """Between two steps, every `technique.gradient_blending` of them: measures the heads and weighs them anew.

    Both splits are read without augmentation, mixing or dropout, by the weights that train and not by their average.
    The training rows are spread evenly over their split, the same ones each time.
    """
    state, step = run.state.blending, run.state.progress.step
    if state is None or step % run.settings.technique.gradient_blending or state.step == step:
        return
    train, val = (run.data.source.splits[name] for name in ("train", "val"))
    spread = list(train)[:: max(1, len(train) // max(1, len(val)))][: len(val)]
    state.measured(step, _losses(run, spread), _losses(run, val))
    if run.recorder is not None:
        names = ("", *(f"_{name}" for name in run.model.unimodal))
        told = {"weight": state.weights, "train_loss": state.train, "val_loss": state.val}
        values = {f"{key}{name}": one for key, of in told.items() for name, one in zip(names, of, strict=True)}
        run.recorder.write("blending", step, epoch=run.state.progress.epoch, **values)


def _losses(run: Run, rows: Sequence[int]) -> list[float]:
    """The mean loss of the joint head, then of each modality's over the rows that have it."""
    model, task, settings = run.model, run.task, run.settings.trainer
    plan = in_order(rows, batch_size=4 * settings.batch_size, peers=run.peers)
    count = 1 + len(model.unimodal)
    sums, weights = [0.0] * count, [0.0] * count
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for batch in batches(run.data, plan, train=False, num_workers=settings.num_workers):
                moved = batch.to(run.compute.device)
                with run.compute.autocast():
                    answers = model.answers(moved)
                own = (moved.weight * moved.signals[name].mask.any(dim=1) for name in answers.unimodal)
                views = [moved, *(replace(moved, weight=weight) for weight in own)]
                for place, outputs in enumerate([answers.outputs, *answers.unimodal.values()]):
                    sums[place] += float(task.loss(outputs, views[place]))
                    weights[place] += task.weight(views[place])
    finally:
        model.train(was_training)
    totals = run.peers.sum([*sums, *weights])
    return [total / max(weight, 1e-12) for total, weight in zip(totals[:count], totals[count:], strict=True)]

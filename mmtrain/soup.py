"""Greedy soup: the mean of the weights of a run's best checkpoints, of as many as validation gains from.

Wortsman et al. 2022, "Model soups", https://arxiv.org/abs/2203.05482: from the best one on, each next joins if the mean
with it scores no worse. Differs: the checkpoints are of one run, where the paper has runs of several settings;
statistics of BatchNorm are averaged like weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mmtrain import checkpoint
from mmtrain.loop import score
from mmtrain.protocols import Calibrated
from mmtrain.report import say
from mmtrain.run import Run
from mmtrain.state import load_weights, weights_of


def greedy(run: Run) -> None:
    """Saves the soup as `soup.safetensors` in the best checkpoint, where it is made of more than that.

    Every process scores, the first one writes. A run that is killed before its end makes the same soup again.
    """
    folder, task = run.folder / "checkpoints", run.task
    sign = 1 if task.higher_is_better else -1
    steps: list[int] = []
    parts: list[Mapping[str, Tensor]] = []
    for step, value in run.state.progress.top:
        saved = checkpoint.at_step(folder, step)
        tried = [*parts, weights_of({name: part for name, part in saved.tensors.items() if name != "soup"})]
        if not parts:
            best, reached, calibration = saved, value, saved.values.get("calibration")
        else:
            load_weights(run.model, mean(tried))
            results = score(run, "val")
            if isinstance(task, Calibrated):
                task.calibrate(results)
            found = task.metrics(results)[task.metric]
            if not sign * (found - reached) >= 0:
                continue
            reached, calibration = found, task.calibration() if isinstance(task, Calibrated) else None
        parts, steps = tried, [*steps, step]
    if run.recorder is not None and len(parts) > 1:
        checkpoint.save(
            folder,
            best.step,
            {**best.tensors, "soup": mean(parts)},
            {**best.values, "calibration": calibration},
            best.facts,
        )
        run.recorder.write("soup", best.step, steps=steps, **{task.metric: reached})
        say(f"soup of steps {', '.join(map(str, steps))}: {task.metric} {reached:.4g} on val")
    run.peers.sum([0])  # nobody reads before it is written


def mean(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each weight; counters and other integers are those of the first."""
    return {
        name: torch.stack([part[name].double() for part in parts]).mean(dim=0).to(first.dtype)
        if first.is_floating_point()
        else first
        for name, first in parts[0].items()
    }

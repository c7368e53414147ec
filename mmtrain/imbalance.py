"""At the end of a run with unimodal heads: what each modality knows by itself, and whether one does the work alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmtrain.contracts import Batch
from mmtrain.loop import score
from mmtrain.model import MultimodalModel
from mmtrain.report import say
from mmtrain.run import Run


def tell(run: Run, split: str, joint: float) -> None:
    """Scores each head and their ensemble on a split, for metrics.jsonl and in one line; warns of a lone worker.

    Args:
        run: The run, with the weights to be judged.
        split: What is scored.
        joint: The metric of the joint head on it.
    """
    names = tuple(run.model.unimodal)
    if not names:
        return
    metric, progress = run.task.metric, run.state.progress
    tested = progress.chosen_step
    values, margin = {}, 0.0
    for label, heads in [*((name, (name,)) for name in names), ("ensemble", names)]:
        results = score(run, split, model=Vote(run.model, heads))
        metrics = run.task.metrics(results)
        values[label] = metrics[metric]
        margin = max(margin, 2 * metrics.get(f"{metric}_se", 0.0))
        if run.recorder is not None:
            run.recorder.write("unimodal", progress.step, split=split, head=label, checkpoint=tested, **metrics)
    if run.recorder is None:
        return
    say(f"{metric} on {split}: " + ", ".join(f"{name} {value:.3f}" for name, value in values.items()))
    if alone := lone_worker({name: values[name] for name in names}, joint, margin, run.task.higher_is_better):
        say(
            f"note: `{alone}` alone reaches {metric} {values[alone]:.3f}, all together {joint:.3f}: what the others "
            "add is within two standard errors. technique.modality_dropout or technique.ogm_ge may help."
        )


def lone_worker(values: dict[str, float], joint: float, margin: float, higher_is_better: bool) -> str | None:
    """The modality whose own head is as good as the joint one, and better than the others; None where there is none.

    Args:
        values: The metric of each modality's head.
        joint: That of the joint head.
        margin: Two standard errors; differences within it do not count.
        higher_is_better: Whether more of it is better.
    """
    if len(values) < 2:
        return None
    sign = 1 if higher_is_better else -1
    second, best = sorted(values, key=lambda name: sign * values[name])[-2:]
    leads = sign * (values[best] - values[second]) > margin
    return best if leads and sign * (joint - values[best]) <= margin else None


class Vote(nn.Module):
    """The trained heads of some modalities as a model: the mean of the logits of those that a row has.

    A row that has none of them gets zeros: every class alike.
    """

    def __init__(self, model: MultimodalModel, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, tuple(names)
        self.train(model.training)  # which an evaluation puts back as it was

    def forward(self, batch: Batch) -> Tensor:
        """Returns logits [B,...]."""
        answers = self.model.answers(batch).unimodal
        stacked = torch.stack([answers[name] for name in self.names], dim=1)  # [B,M,...]
        present = torch.stack([batch.signals[name].mask.any(dim=1) for name in self.names], dim=1)  # [B,M]
        kept = torch.where(present.unsqueeze(-1), stacked.flatten(2), 0).sum(dim=1)  # [B,K]
        mean: Tensor = (kept / present.sum(dim=1, keepdim=True).clamp(min=1)).view_as(stacked[:, 0])
        return mean

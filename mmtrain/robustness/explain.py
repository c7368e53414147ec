"""Which words, patches and moments an answer rests on: integrated gradients over the tokens of one sample.

attribution_l = (x_l - b) . mean over a in (0, 1) of dF/dx_l (b + a (x - b)), F the output that is explained, x the
tokens, b the mean token of the modality over the split. After Sundararajan et al. 2017, "Axiomatic Attribution for Deep
Networks", https://arxiv.org/abs/1703.01365. Differs: over tokens in place of pixels, and from the mean token, since
norms inside fusions make all of a path from zero alike but its very beginning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmtrain.contracts import Batch, Draw, Tokens
from mmtrain.data.loader import batches
from mmtrain.model import MultimodalModel
from mmtrain.protocols import Confusable, Logits
from mmtrain.robustness.bench import Bench

STEPS = 64  # of the path; what is missing of the sum is told


@dataclass(frozen=True)
class Explanation:
    """What one answer rests on.

    Args:
        id: Of the sample.
        answer: As a predictions file has it.
        truth: The targets as written.
        output: The output that is explained: a class, or a target.
        tokens: By modality, the attribution of each real token, in units of the output; none of an absent one.
        positions: By modality, where they stand [L,3], as in Tokens; empty where the encoder does not say.
        change: The output less that of a sample of mean tokens, which the attributions add up to.
        missing: What the sum of all attributions lacks of `change`.
        weights: How much the fusion weighs each modality, where it has such a thing: a diagnostic, no importance.
    """

    id: str
    answer: str
    truth: str
    output: str
    tokens: Mapping[str, Sequence[float]]
    positions: Mapping[str, Sequence[Sequence[float]]]
    change: float
    missing: float
    weights: Mapping[str, float] | None


def explainable(bench: Bench) -> bool:
    """Whether the model answers by one row of numbers, of which one can be explained."""
    outputs = bench.clean.outputs
    return (
        isinstance(outputs, Tensor) and outputs.dim() == 2 and not getattr(bench.trained.model.head, "reads_targets", 0)
    )


def explain(bench: Bench, row: int) -> Explanation:
    """Explains the answer to a row: the likeliest class or tag, or the first number."""
    model, task, device = bench.trained.model, bench.trained.task, bench.trained.compute.device
    batch = next(iter(batches(bench.data, [[Draw(row, 0)]], train=False))).to(device)
    start = {name: bench.mean_token(name).to(device) for name in bench.names}
    with torch.no_grad():
        tokens = {name: one._replace(values=one.values.float()) for name, one in model.encode(batch).items()}
        fused = model.join(tokens)
        output = model.read(fused, batch)
    assert isinstance(output, Tensor), "only what `explainable` has passed is explained"
    pick = int(output[0].argmax()) if isinstance(task, Logits) else 0
    attributions, change = integrated_gradients(model, batch, tokens, start, pick)
    place = bench.clean.ids.index(batch.ids[0])
    table = task.table(bench.clean)
    answers = next((values for name, values in table.items() if name.endswith("prediction")), [""] * (place + 1))
    return Explanation(
        id=batch.ids[0],
        answer=str(answers[place]),
        truth=", ".join(bench.source.target(row, name) or "" for name in task.targets if name in bench.source.targets),
        output=task.classes[pick] if isinstance(task, Confusable) else task.targets[0],
        tokens={name: values[tokens[name].mask[0]].tolist() for name, values in attributions.items()},
        positions={
            name: [] if one.positions is None else one.positions[0][one.mask[0]].tolist()
            for name, one in tokens.items()
        },
        change=change,
        missing=change - sum(float(values.sum()) for values in attributions.values()),
        weights=None if fused.weights is None else dict(zip(bench.names, fused.weights[0].tolist(), strict=True)),
    )


def integrated_gradients(
    model: MultimodalModel, batch: Batch, tokens: Mapping[str, Tokens], start: Mapping[str, Tensor], pick: int
) -> tuple[dict[str, Tensor], float]:
    """The attribution of every token, and the change of the output that they add up to.

    Args:
        model: In eval mode.
        batch: The one row.
        tokens: Its tokens, [1,L,width] each.
        start: The token that stands for an average one, by modality: [width].
        pick: The column of the outputs that is explained.

    Returns:
        [L] by modality, 0 where the mask is False; and output(tokens) - output(start).
    """

    def output(share: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Tokens and output [S] at so many shares [S] of the way."""
        leaves, path = {}, {}
        for name, one in tokens.items():
            way = start[name] + share.view(-1, 1, 1) * (one.values - start[name])  # [S,L,width]
            leaves[name] = torch.where(one.mask.unsqueeze(-1), way, 0).requires_grad_()
            mask = one.mask.expand(len(share), -1)
            where = None if one.positions is None else one.positions.expand(len(share), -1, -1)
            path[name] = Tokens(leaves[name], mask, where)
        outputs = model.read(model.join(path), batch)
        assert isinstance(outputs, Tensor), "as above"
        return leaves, outputs[:, pick]

    device = batch.weight.device
    with torch.enable_grad():
        leaves, outputs = output((torch.arange(STEPS, device=device) + 0.5) / STEPS)
        names = list(leaves)
        gradients = torch.autograd.grad(outputs.sum(), [leaves[name] for name in names], allow_unused=True)
    attributions = {}
    for name, gradient in zip(names, gradients, strict=True):
        one = tokens[name]
        slope = torch.zeros_like(one.values[0]) if gradient is None else gradient.mean(dim=0)  # [L,width]
        parts = ((one.values[0] - start[name]) * slope).sum(dim=-1)  # [L]
        attributions[name] = torch.where(one.mask[0], parts, 0).cpu()
    with torch.no_grad():
        _, ends = output(torch.tensor([0.0, 1.0], device=device))
    return attributions, float(ends[1] - ends[0])

"""A training loop as one writes it by hand for one experiment, over data and model of mmtrain: the measure of ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from mmtrain import seeding
from mmtrain.contracts import Batch, Signal
from mmtrain.data.dataset import Data
from mmtrain.rows import joined_targets


def plain(
    data: Data, model: nn.Module, device: torch.device, *, seed: int, batch_size: int, lr: float
) -> Iterator[float]:
    """A loop as one writes it by hand for one experiment."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0)
    rows = data.source.splits["train"]
    model.train()
    epoch = 0
    while True:
        order = torch.randperm(len(rows), generator=seeding.generator(seed, epoch, "order")).tolist()
        for start in range(0, len(order), batch_size):
            batch = plain_batch(data, [rows[number] for number in order[start : start + batch_size]], device)
            logits = model(batch)
            loss = F.cross_entropy(logits, batch.targets["label"].values)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            yield loss.item()
        epoch += 1


def plain_batch(data: Data, rows: Sequence[int], device: torch.device) -> Batch:
    """Reads, pads and stacks complete rows: no missing modality, no weights, no skipped rows."""
    signals = {}
    for name, reader in data.readers.items():
        values = [
            reader.finish(reader.decode(cell)) for row in rows if (cell := data.source.cell(row, name)) is not None
        ]
        if data.spec.signals[name].length > 1:
            stacked = pad_sequence(values, batch_first=True)
            mask = torch.arange(stacked.shape[1]) < torch.tensor([len(one) for one in values])[:, None]
        else:
            stacked, mask = torch.stack(values), torch.ones(len(rows), 1, dtype=torch.bool)
        signals[name] = Signal(stacked.to(device), mask.to(device))
    labels = joined_targets([data.targets["label"].encode(data.source.target(row, "label") or "") for row in rows])
    return Batch(
        signals=signals,
        targets={"label": labels.each(lambda tensor: tensor.to(device))},
        ids=[data.source.ids[row] for row in rows],
        keys=torch.zeros(0),
        weight=torch.zeros(0),
        rows=dict.fromkeys(signals),
    )

"""Seconds that reading the training rows takes, epoch after epoch, with the cache of decoded samples and without.

    python scripts/measure_cache.py dataset=table dataset.path=pets/manifest.csv trainer.num_workers=2

Takes what one would give to train; decodes into a new and empty cache; computes nothing. Without workers they are CPU
seconds, so that others may use the machine meanwhile.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from mmtrain import compose
from mmtrain.build import build_data, build_source
from mmtrain.components import settings_of
from mmtrain.data.cache import stores
from mmtrain.data.dataset import Data
from mmtrain.data.loader import batches
from mmtrain.data.plan import uniform
from mmtrain.settings import RunSettings

EPOCHS = 3


def epoch_seconds(data: Data, settings: RunSettings, epoch: int) -> float:
    """Reads every batch of one epoch."""
    rows, size = data.source.splits["train"], settings.trainer.batch_size
    plan = uniform(rows, seed=settings.seed, epoch=epoch, batch_size=size)
    clock = time.perf_counter if settings.trainer.num_workers else time.process_time
    start = clock()
    for _ in batches(data, plan, train=True, num_workers=settings.trainer.num_workers):
        pass
    return clock() - start


def main() -> None:
    config = compose.compose(sys.argv[1:])
    settings = settings_of(config)
    torch.set_num_threads(settings.num_threads or 1)
    plain = build_data(config, build_source(config))
    with tempfile.TemporaryDirectory() as folder:
        for name in ("cached", "not cached"):
            data = replace(plain, stores=stores(Path(folder), plain.readers)) if name == "cached" else plain
            seconds = [epoch_seconds(data, settings, epoch) for epoch in range(EPOCHS)]
            print(name, *(f"epoch {epoch + 1}: {value:.2f} s" for epoch, value in enumerate(seconds)), sep="  ")
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        print(f"{len(plain.source.splits['train']):,} rows, {size / 1e6:.1f} MB kept")


if __name__ == "__main__":
    main()

"""How much faster an epoch of training is where what frozen encoders give is kept, against encoding in each epoch.

    python scripts/measure_features.py dataset=table dataset.path=pets/manifest.csv encoder/image=resnet18 \
        'tuning.freeze={image: all}' num_threads=1

Takes what one would give to train; keeps features in a new and empty cache. Steps of both kinds take turns, so that
other work on the machine slows both; decoded samples are kept for both.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from mmtrain import compose, training
from mmtrain.build import build
from mmtrain.components import settings_of
from mmtrain.device import choose
from mmtrain.features import with_features
from mmtrain.interrupt import StopFlag
from mmtrain.loop import objective_of, steps_of_epoch, train_step
from mmtrain.peers import Peers
from mmtrain.run import Run


def prepared(words: list[str], folder: Path) -> Run:
    """A run before its first step."""
    config = compose.compose([*words, f"cache_dir={folder}"])
    settings = settings_of(config)
    compute = choose(
        settings.device, settings.precision, num_threads=settings.num_threads, determinism=settings.determinism
    )
    return training.prepare(build(config), folder, compute, Peers(), StopFlag(), resumed=False)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        plain, kept = (prepared(sys.argv[1:], Path(name)) for _ in range(2))
        begun = time.perf_counter()
        kept.data = with_features(kept)
        filling = time.perf_counter() - begun
        encoded = ", ".join(kept.data.encoded) or sys.exit("no encoder is frozen for the whole run")
        seconds: dict[str, list[float]] = {"encoded": [], "kept": []}
        for _ in range(2):  # the first epoch fills the cache of decoded samples
            seconds = {"encoded": [], "kept": []}
            steps = {"encoded": (plain, steps_of_epoch(plain)), "kept": (kept, steps_of_epoch(kept))}
            objectives = {label: objective_of(run) for label, (run, _) in steps.items()}
            for _ in range(plain.steps_per_epoch):
                for label, (run, micros) in steps.items():
                    begun = time.perf_counter()
                    train_step(run, objectives[label], next(micros))
                    seconds[label].append(time.perf_counter() - begun)
            for _, micros in steps.values():
                micros.close()
        size = sum(file.stat().st_size for file in Path(name).glob("features-*/*"))
    for run in (plain, kept):
        run.meter.close()
    ratios = [one / other for one, other in zip(seconds["encoded"], seconds["kept"], strict=True)]
    print(f"{encoded}: filled in {filling:.1f} s, {size / 1e6:.1f} MB; an epoch of {len(ratios)} steps:")
    print(f"  encoding {sum(seconds['encoded']):.2f} s, kept {sum(seconds['kept']):.2f} s")
    print(f"  median of the steps' ratios {median(ratios):.1f}, lowest {min(ratios):.1f}, highest {max(ratios):.1f}")


if __name__ == "__main__":
    main()

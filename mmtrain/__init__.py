"""Config-driven training of multimodal models.

    import mmtrain
    run = mmtrain.train(["fusion=attention", "trainer.epochs=3"])
    run = mmtrain.load("outputs/train/2026-01-31_12-00-00")
    run.metrics(), run.evaluate("test"), run.predict([{"text": "...", "image": "cat.png"}])

Importing the package is quick: torch is imported by the first call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmtrain.api import load, train

__all__ = ["load", "train"]


def __getattr__(name: str) -> object:
    if name in __all__:
        from mmtrain import api

        return getattr(api, name)
    raise AttributeError(f"module 'mmtrain' has no attribute '{name}'")

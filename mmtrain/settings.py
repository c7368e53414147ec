"""The typed settings of a run: everything in the config that is not a component with a `_target_`.

`check.py` holds the YAML against these fields, so a field without a line in `configs/` (or the reverse) is an error.
The comments in the YAML files say what each means to a user.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from mmtrain.contracts import Range

Count = Annotated[int, Range(1)]


@dataclass(frozen=True)
class TrainerSettings:
    """`configs/trainer/default.yaml`."""

    epochs: Count = 10
    max_steps: Count | None = None
    batch_size: Count = 32
    accumulate: Count = 1
    clip_norm: Annotated[float, Range(0, above=True)] | None = 1.0
    ema_decay: Annotated[float, Range(0, 1)] | None = None
    swa_from: Annotated[float, Range(0, 1)] | None = None
    soup: Count = 1
    patience: Count | None = None
    evaluate_every: Count = 1
    evaluate_unit: Literal["epoch", "step"] = "epoch"
    evaluate_first: bool = True
    save_every_steps: Count | None = None
    keep_last: Count = 2
    num_workers: Annotated[int, Range(0, 256)] = 0
    on_nonfinite: Literal["stop", "skip"] = "stop"
    channels_last: bool = False
    compile: bool = False
    tensorboard: bool = True
    log_every_steps: Count = 10
    profile_steps: Annotated[int, Range(0, 1000)] = 0


@dataclass(frozen=True)
class TechniqueSettings:
    """`configs/technique/default.yaml`."""

    modality_dropout: Annotated[float, Range(0, 0.9)] = 0.0
    null_tokens: bool = False
    unimodal_weight: Annotated[float, Range(0)] = 0.0
    unimodal_steps: Annotated[int, Range(0)] = 0
    ogm_ge: Annotated[float, Range(0)] = 0.0
    mmpareto: Annotated[float, Range(0)] = 0.0
    gradient_blending: Annotated[int, Range(0)] = 0
    alignment: Annotated[float, Range(0)] = 0.0
    alignment_temperature: Annotated[float, Range(0, above=True)] = 0.07
    mixing: Literal["none", "mixup", "cutmix"] = "none"
    mixing_alpha: Annotated[float, Range(0, 10, above=True)] = 0.4


@dataclass(frozen=True)
class TuningSettings:
    """`configs/tuning/default.yaml`; each is by modality."""

    init_from: Mapping[str, str] | None = None
    freeze: Mapping[str, Count | str] | None = None
    unfreeze_at: Mapping[str, Count] | None = None
    lora: Mapping[str, Count] | None = None
    lr: Mapping[str, Annotated[float, Range(0, above=True)]] | None = None
    layer_decay: Mapping[str, Annotated[float, Range(0, 1, above=True)]] | None = None


@dataclass(frozen=True)
class RunSettings:
    """The root of `configs/train.yaml`, less its components."""

    name: str = "train"
    output_dir: str = "outputs"
    modalities: list[str] | None = None
    share_encoder: list[str] = field(default_factory=list)
    width: Count = 128
    seed: Annotated[int, Range(0, 2**63 - 1)] = 0
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    determinism: Literal["off", "seeded", "strict"] = "seeded"
    num_threads: Count | None = None
    on_bad_sample: Literal["error", "skip"] = "error"
    max_bad_fraction: Annotated[float, Range(0, 1)] = 0.01
    cache_dir: str | None = "auto"
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    technique: TechniqueSettings = field(default_factory=TechniqueSettings)
    tuning: TuningSettings = field(default_factory=TuningSettings)

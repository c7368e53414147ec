"""From a plain config to a run: data, task, model, optimizer, each from the facts of the one before."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from torch import nn
from torch.optim import Optimizer

from mmtrain.components import Config, called, component, factory, factory_for, node, settings_of
from mmtrain.compose import BY_NAME, kinds, unjoined
from mmtrain.contracts import DataSpec
from mmtrain.data.anchoring import anchored
from mmtrain.data.cache import stores
from mmtrain.data.dataset import Data
from mmtrain.data.fitting import AugmentFactory, ReaderFactory
from mmtrain.data.mixing import with_partners
from mmtrain.data.room import notes_on_room
from mmtrain.errors import ConfigError
from mmtrain.evaluation import clip_counts
from mmtrain.model import MultimodalModel, batch_norms
from mmtrain.offers import Pooling
from mmtrain.optim import Schedule, parameter_groups
from mmtrain.paths import cache_dir
from mmtrain.protocols import DataSource, Encoder, Fusion, LogitFusion, Logits, Plan, Task
from mmtrain.settings import RunSettings
from mmtrain.suggest import did_you_mean
from mmtrain.task_tree import children, target_readers
from mmtrain.transfer import start_encoders
from mmtrain.tuning import multipliers, tune


@dataclass
class Parts:
    """What a config describes, built; training adds an optimizer."""

    config: Config
    settings: RunSettings
    data: Data
    task: Task
    model: MultimodalModel


@contextmanager
def _without_collection() -> Iterator[None]:
    """Inside, Python looks for no cycles of garbage: with cells by the million it would search all imports again
    and again, a sixth of the time that a large table takes, or a quarter of the time of importing more.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_without_collection()
def build(config: Config, spec: DataSpec | None = None, source: DataSource | None = None) -> Parts:
    """Builds data, task and model; every part from the facts of the one before.

    Args:
        config: A plain config that `check` has passed.
        spec: Facts learned before, in place of fitting readers to the training rows.
        source: The rows that `dataset` describes, where they are made already.

    Raises:
        ConfigError: A component refuses its arguments; the message names its config key.
        DataError: The data cannot be used.
    """
    settings = settings_of(config)
    data = build_data(config, source or build_source(config), spec)
    if (cache := cache_dir(settings.cache_dir)) is not None:
        data = replace(data, stores=stores(cache, data.readers))
    if len(data.spec.signals) > 1 and unjoined(config):
        raise ConfigError(
            f"`fusion`: none does not join the modalities of the data ({', '.join(data.spec.signals)}); choose another "
            "one, or one of `modalities`."
        )
    task = build_task(config, data.spec)
    _refuse_clips(data, task)
    data = anchored(data, task)
    model = build_model(config, settings, data.spec, task)
    if settings.trainer.batch_size // settings.trainer.accumulate == 1 and batch_norms(model):
        raise ConfigError(
            "`trainer.batch_size` of 1 a part and BatchNorm in the model: a single row has no batch statistics; use at "
            "least 2 rows a part."
        )
    if settings.technique.mixing != "none" and getattr(model.head, "reads_targets", False):
        raise ConfigError(
            f"`technique.mixing`: {type(task).__name__} is shown the text that it is to write, and a mixed row has "
            "two; set it to none."
        )
    data = replace(data, notes=[*data.notes, *notes_on_room(data, task, model.token_count)])
    return Parts(config, settings, data, task, model)


@_without_collection()
def build_data(config: Config, source: DataSource, spec: DataSpec | None = None) -> Data:
    """The rows of a source with their readers; see `build` for `spec`."""
    settings = settings_of(config)
    found = {name: signal.kind for name, signal in spec.signals.items()} if spec else dict(source.kinds)
    wanted = found if spec or settings.modalities is None else [name for name in settings.modalities if name in found]
    readers = {name: cast(ReaderFactory, factory_for(config, "reader", name, found[name])) for name in wanted}
    augments = {
        name: cast(AugmentFactory, factory_for(config, "augment", name, found[name]))
        for name in wanted
        if {name, found[name]} & node(config, "augment").keys()  # a kind of the user's own may have none
    }
    if spec is not None:
        return Data.restore(
            source,
            readers=readers,
            targets=target_readers(node(config, "task"), list(spec.targets)),
            spec=spec,
            on_bad_sample=settings.on_bad_sample,
            augments=augments,
        )
    _refuse_strangers(config, settings, source)
    return Data.prepare(
        source,
        readers=readers,
        modalities=settings.modalities,
        targets=target_readers(node(config, "task"), source.targets),
        on_bad_sample=settings.on_bad_sample,
        augments=augments,
    )


def build_task(config: Config, spec: DataSpec) -> Task:
    """The task over the targets of the data."""
    return _task("task", node(config, "task"), spec)


def _task(where: str, arguments: Config, spec: DataSpec) -> Task:
    """A task, after those inside it."""
    inside = {name: _task(f"{where}.tasks.{name}", child, spec) for name, child in children(arguments).items()}
    make = factory({name: value for name, value in arguments.items() if not inside or name != "tasks"}, where)
    return cast(Task, called(where, partial(make, tasks=inside) if inside else make, spec))


@_without_collection()
def build_source(config: Config) -> DataSource:
    """The rows that `dataset` describes."""
    return cast(DataSource, component("dataset", node(config, "dataset")))


def build_model(config: Config, settings: RunSettings, spec: DataSpec, task: Task) -> MultimodalModel:
    """Encoders in the order of the modalities, the fusion over them, the task's head on top."""
    encoders: dict[str, Encoder] = {}
    for name, signal in spec.signals.items():
        shared = [other for other in encoders if {name, other} <= set(settings.share_encoder)]
        if shared:
            first = spec.signals[shared[0]]
            facts = [(one.kind, one.shape, one.vocabulary, one.columns) for one in (first, signal)]
            if facts[0] != facts[1]:
                raise ConfigError(
                    f"`share_encoder`: {shared[0]} and {name} are of different kind, shape, vocabulary or columns."
                )
            encoders[name] = encoders[shared[0]]
            continue
        encoders[name] = cast(Encoder, factory_for(config, "encoder", name, signal.kind)(signal))
    fusion = cast(Fusion, component("fusion", node(config, "fusion"), tuple(encoders), settings.width))
    model = MultimodalModel(
        encoders,
        fusion,
        _head(fusion, task, settings.width),
        width=settings.width,
        unimodal=_unimodal_heads(tuple(encoders), settings, task),
        null_tokens=settings.technique.null_tokens,
    )
    start_encoders(model.by_modality(), spec.signals, settings.tuning.init_from or {})
    called("tuning", tune, model.by_modality(), settings.tuning)  # last, so that LoRA's numbers change no others
    return model.train()  # what is frozen not


def build_plan(config: Config, data: Data) -> Plan:
    """The order of the training rows, with partners where rows are to be mixed."""
    plan = cast(Plan, component("plan", node(config, "plan"), data))
    technique = settings_of(config).technique
    given = (plan, data.spec, technique.mixing, technique.mixing_alpha)
    return cast(Plan, called("technique.mixing", with_partners, *given))


@_without_collection()  # torch imports its compiler for the first one
def build_optimizer(config: Config, model: MultimodalModel) -> Optimizer:
    """The optimizer over the model's parameters; `initial_lr` in each group is the rate the schedule multiplies."""
    tuning, encoders = settings_of(config).tuning, model.by_modality()
    later = {id(parameter) for name in tuning.unfreeze_at or {} for parameter in encoders[name].parameters()}
    groups = parameter_groups(model, rates=multipliers(model, encoders, tuning), later=later)
    optimizer = cast(Optimizer, component("optimizer", node(config, "optimizer"), groups))
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"] * group["multiplier"]
    return optimizer


def build_schedule(config: Config, total_steps: int) -> Schedule:
    """The learning-rate schedule of a run of so many steps."""
    return cast(Schedule, component("schedule", node(config, "schedule"), total_steps))


def _head(fusion: Fusion, task: Task, width: int) -> nn.Module:
    if not isinstance(fusion, LogitFusion):
        return cast(nn.Module, called("task", task.make_head, width))
    if not isinstance(task, Logits):
        raise ConfigError(
            f"`fusion`: {type(fusion).__name__} combines logits, and the outputs of {type(task).__name__} are none; "
            "choose another fusion."
        )
    return fusion.make_head(task.make_head)


def _unimodal_heads(names: tuple[str, ...], settings: RunSettings, task: Task) -> dict[str, nn.Module]:
    """Made last, so that the first weights of all else are those of a run without them."""
    if not settings.technique.unimodal_weight:
        return {}
    if not isinstance(task, Logits):
        raise ConfigError(
            f"`technique.unimodal_weight`: the outputs of {type(task).__name__} are no logits; set it to 0."
        )
    return {name: task.make_head(settings.width) for name in names}


def _refuse_clips(data: Data, task: Task) -> None:
    """Refuses several clips a row of a task that cannot make one answer of theirs."""
    try:
        counts = clip_counts(data)
    except ValueError as error:
        raise ConfigError(f"{error}.") from None
    for name, count in counts.items():
        if not isinstance(task, Pooling):
            raise ConfigError(
                f"`reader.{name}.clips` (={count}): {type(task).__name__} does not join what it says of several clips; "
                "set it to 1."
            )


def _refuse_strangers(config: Config, settings: RunSettings, source: DataSource) -> None:
    """Refuses entries for modalities that the data does not have; those of a kind may stand unused."""
    for group in BY_NAME:
        known = {*source.kinds, *source.kinds.values(), *kinds(group)}
        for name in node(config, group):
            if name not in known:
                hint = did_you_mean(f"{group}/{name}", [f"{group}/{other}" for other in known])
                raise ConfigError(f"`{group}/{name}`: no '{name}' in the data; it has {', '.join(source.kinds)}.{hint}")
    for name in settings.share_encoder:
        if name not in source.kinds:
            hint = did_you_mean(name, source.kinds)
            raise ConfigError(f"`share_encoder`: no '{name}' in the data; it has {', '.join(source.kinds)}.{hint}")

"""A run from its first file to its last: makes the folder, builds the parts, trains, tests once, can go on later."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from mmtrain import checkpoint, contents, paths
from mmtrain.build import Parts, build, build_optimizer, build_plan, build_schedule
from mmtrain.components import Config, settings_of
from mmtrain.compose import without_initial_weights
from mmtrain.data.cache import summary
from mmtrain.data.plan import batch_count
from mmtrain.data.spec_file import load_spec, save_spec
from mmtrain.device import Compute, choose
from mmtrain.errors import ConfigError, DataError
from mmtrain.features import with_features
from mmtrain.finish import finish
from mmtrain.hub import settled
from mmtrain.interrupt import StopFlag, watched
from mmtrain.loop import finished, fit
from mmtrain.model import MultimodalModel, parameter_counts
from mmtrain.optim import MovingAverage, equal, exponential
from mmtrain.peers import Peers, joined, local_processes
from mmtrain.protocols import Calibrated, DataSource
from mmtrain.record import Recorder, read_rows
from mmtrain.report import Meter, data_summary, model_summary, say
from mmtrain.run import Run, Tested, Validated
from mmtrain.runfolder import environment, opened, write_config, write_json, write_text
from mmtrain.seeding import key
from mmtrain.settings import RunSettings, TrainerSettings
from mmtrain.state import TrainState
from mmtrain.techniques.gradient_blending import Blending


def start(
    config: Config,
    arguments: Sequence[str] = (),
    *,
    source: DataSource | None = None,
    tested: Tested | None = None,
    validated: Validated | None = None,
) -> Path:
    """Trains the model that a checked config describes and returns the run's folder.

    Args:
        config: Plain, composed and checked.
        arguments: The command line, kept in `command.txt`.
        source: The rows that `dataset` describes, where they are made already.
        tested: Called with what the best weights say of the test rows.
        validated: Called after each validation.
    """
    settings = settings_of(config)
    with _process(settings) as (compute, peers, stop):
        made = paths.new_run(Path(settings.output_dir), settings.name) if peers.first else None
        folder = Path(peers.from_first(str(made)))
        with opened(folder, peers, settings.trainer.batch_size):
            if peers.first:
                write_config(folder, config)
                write_text(folder / "command.txt", shlex.join(["mmtrain", *arguments]) + "\n")
                write_json(folder / "environment.json", environment(compute, peers))
                say(f"run: {folder}")
            torch.manual_seed(key(settings.seed, "weights"))
            parts = build(config, source=source)
            if peers.first:
                save_spec(folder, parts.data.spec)
                write_config(folder, settled(config, parts.data.spec))
                contents.write(folder, parts.data.source)
            run = prepare(parts, folder, compute, peers, stop, resumed=False)
            run.validated = validated
            if peers.first:
                paths.remember(folder, Path(settings.output_dir))
            _train(run, tested, resumed=False)
    return folder


def resume(folder: Path, config: Config, *, source: DataSource | None = None, tested: Tested | None = None) -> Path:
    """Goes on from the newest checkpoint that verifies; a run that has ended is left as it is.

    Args:
        folder: The run.
        config: Its config, with the changes that a resume allows.
        source: As in `start`; `tested` likewise.
    """
    settings = settings_of(config)
    with _process(settings) as (compute, peers, stop), opened(folder, peers, settings.trainer.batch_size):
        torch.manual_seed(key(settings.seed, "weights"))
        parts = replace(build(without_initial_weights(config), load_spec(folder), source), config=config)
        if peers.first:
            for name in checkpoint.clean(folder / "checkpoints"):
                say(f"removed {name}, left by a save that was killed")
        run = prepare(parts, folder, compute, peers, stop, resumed=True)
        if finished(run) and any(row["kind"] == "end" for row in read_rows(folder)):
            if peers.first:
                say(f"{folder} has ended; there is nothing left to do.")
            return folder
        if peers.first:
            write_config(folder, config)  # a run that was made longer stays so
        _train(run, tested, resumed=True)
    return folder


@contextmanager
def _process(settings: RunSettings) -> Iterator[tuple[Compute, Peers, StopFlag]]:
    """Where this process computes, with whom, and whether a signal has asked it to stop."""
    with ExitStack() as stack:
        compute = choose(
            settings.device,
            settings.precision,
            num_threads=settings.num_threads,
            determinism=settings.determinism,
            local_processes=local_processes(),
        )
        peers = stack.enter_context(joined(compute.device))
        stop = stack.enter_context(watched())
        yield compute, peers, stop


def prepare(parts: Parts, folder: Path, compute: Compute, peers: Peers, stop: StopFlag, *, resumed: bool) -> Run:
    """Everything that training needs, made from what was built, and from the newest checkpoint where it is resumed."""
    settings, source = parts.settings, parts.data.source
    trainer = settings.trainer
    if "val" not in source.splits:
        raise DataError(f"no validation rows (splits: {', '.join(source.splits)}); set `dataset.val_fraction` above 0.")
    if trainer.channels_last:
        parts.model.to(memory_format=torch.channels_last)
    parts.model.to(compute.device)
    plan = build_plan(parts.config, parts.data)
    steps_per_epoch = batch_count(plan.rows, trainer.batch_size)
    total = min(trainer.epochs * steps_per_epoch, trainer.max_steps or sys.maxsize)
    state = TrainState(
        parts.model,
        build_optimizer(parts.config, parts.model),
        _average(parts.model, trainer, total),
        torch.amp.GradScaler(compute.device.type) if compute.precision == "fp16" else None,
        calibrated=parts.task if isinstance(parts.task, Calibrated) else None,
        blending=_blending(parts.model, settings),
    )
    facts = {**environment(compute, peers), "data": source.fingerprint(), "total_steps": total, "config": parts.config}
    saved_step = -1
    if resumed:
        saved_step = _restore(state, folder, facts, settings, peers, source)
    parameters = parameter_counts(parts.model)
    if peers.first:
        targets = [target.summary() for target in parts.data.spec.targets.values()]
        counts = {split: len(rows) for split, rows in source.splits.items()}
        for note in (*source.notes, *parts.data.notes):
            say(f"note: {note}")
        say(data_summary(counts, parts.data.missing(), origin=source.split_origin, targets=targets))
        if parts.data.stores:
            say(summary(parts.data.stores))
        say(model_summary(parameters))
        if frozen := sum(p.numel() for p in parts.model.parameters() if not p.requires_grad):
            say(f"tuning: {frozen:,} of them are frozen")
        say(
            f"train: {total} steps of {trainer.batch_size} rows on {compute.device}, {compute.precision}, "
            f"{compute.num_threads} threads" + (f", from step {state.progress.step}" if resumed else "")
        )
    return Run(
        folder=folder,
        settings=settings,
        data=parts.data,
        plan=plan,
        task=parts.task,
        state=state,
        schedule=build_schedule(parts.config, total),
        steps_per_epoch=steps_per_epoch,
        total_steps=total,
        compute=compute,
        peers=peers,
        stop=stop,
        meter=Meter(total, done=state.progress.step, silent=not peers.first),
        parameters=parameters,
        facts=facts,
        saved_step=saved_step,
    )


def _restore(
    state: TrainState, folder: Path, facts: dict[str, object], settings: RunSettings, peers: Peers, source: DataSource
) -> int:
    """Loads the newest good checkpoint, after asking whether it belongs to this data and machine; returns its step."""
    saved, faults = checkpoint.newest(folder / "checkpoints")
    if peers.first:
        for fault in faults:
            say(f"passed over: {fault}")
    before = saved.facts
    if before["data"] != facts["data"]:
        told = f"by {contents.FILE}, {contents.difference(contents.read(folder), source)}"
        raise DataError(
            f"the data has changed since {folder} was made: {told}; put the old rows and files back, or train anew."
        )
    if before["processes"] != facts["processes"] and settings.determinism == "strict":
        raise ConfigError(f"`determinism=strict`: made by {before['processes']} processes, now {facts['processes']}.")
    if before["num_threads"] != facts["num_threads"]:
        told = f"made with {before['num_threads']} threads, now {facts['num_threads']}; set `num_threads=` to the first"
        if settings.determinism == "strict":
            raise ConfigError(f"`determinism=strict`: {told}.")
        if peers.first:
            say(f"note: {told} for a result that is equal to the bit")
    state.load(saved.tensors, saved.values)
    return saved.step


def _train(run: Run, tested: Tested | None, *, resumed: bool) -> None:
    if run.peers.first:
        after_step = run.state.progress.step if resumed else None
        run.recorder = Recorder(run.folder, tensorboard=run.settings.trainer.tensorboard, after_step=after_step)
    try:
        run.data = with_features(run)
        run.meter.begin()
        fit(run)
        finish(run, tested)
    finally:
        run.meter.close()
        if run.recorder is not None:
            run.recorder.close()


def _blending(model: MultimodalModel, settings: RunSettings) -> Blending | None:
    """The weights of the heads, where gradient blending decides them."""
    on = settings.technique.gradient_blending
    return Blending.start(len(model.unimodal), settings.technique.unimodal_weight) if on else None


def _average(model: nn.Module, trainer: TrainerSettings, total: int) -> MovingAverage | None:
    """The average of the weights that the settings ask for."""
    if trainer.swa_from is not None:
        return MovingAverage(model, equal(round(trainer.swa_from * total)))
    return MovingAverage(model, exponential(trainer.ema_decay)) if trainer.ema_decay else None

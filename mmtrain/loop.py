"""The training loop: from batches to weights, with an evaluation and a checkpoint at every rest.

Nothing random is drawn here but from keys, and nothing is remembered but in `TrainState`: a run that is killed anywhere
and resumed takes the same steps as one that was not.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Generator, Mapping
from contextlib import nullcontext
from itertools import islice

import torch
from torch import nn

from mmtrain import checkpoint
from mmtrain.blending import reweigh
from mmtrain.contracts import Batch, Draw, Outputs, Results
from mmtrain.data.fitting import refuse_many
from mmtrain.data.loader import batches
from mmtrain.data.plan import Batches, share
from mmtrain.errors import Stopped
from mmtrain.evaluation import Abandoned, evaluate, scores
from mmtrain.mixture import mixed_weight
from mmtrain.nonfinite import non_finite
from mmtrain.objective import Balance, Objective, Terms
from mmtrain.optim import fill_gradients
from mmtrain.profiling import profiled
from mmtrain.protocols import Calibrated
from mmtrain.run import Run
from mmtrain.seeding import seed_step
from mmtrain.techniques.modality_dropout import drop
from mmtrain.telling import write_evaluation
from mmtrain.tuning import thaw

_MOST_BAD_STEPS = {"scaler": 20, "skip": 5, "stop": 1}
"""In a row, before the run ends."""


def fit(run: Run) -> None:
    """Trains to the end, from wherever the state is.

    Raises:
        Stopped: A signal asked for it; the state is saved.
        NonFiniteError: A loss or gradient is nan or infinite; the weights are those before that step.
    """
    settings = run.settings.trainer
    if settings.compile:
        run.model.compile()
    objective = objective_of(run)
    rest(run)
    traced = settings.profile_steps if run.peers.first else 0
    with profiled(run.folder, traced, say=run.meter.line) as step_profiled:
        while not finished(run):
            for micros in steps_of_epoch(run):
                if thaw(run.model.by_modality(), run.settings.tuning, run.state.progress.step):
                    run.model.train()
                    objective = objective_of(run)  # between processes only what trains when it is wrapped is exchanged
                train_step(run, objective, micros)
                step_profiled()
                rest(run)
                if finished(run):
                    break


def objective_of(run: Run) -> nn.Module:
    """What steps are taken with: the model with its losses, its gradients exchanged between the processes."""
    objective = Objective(run.model, run.task, run.compute, run.settings.technique, run.state.blending)
    return run.peers.wrap(objective, run.compute.device)


def steps_of_epoch(run: Run) -> Generator[list[Batch], None, None]:
    """What is left of the epoch under way: for each optimizer step, this process's share, in `accumulate` parts."""
    settings, progress = run.settings.trainer, run.state.progress
    plan = run.plan(seed=run.settings.seed, epoch=progress.epoch, batch_size=settings.batch_size)[progress.batch :]

    def part(number: int) -> list[Draw]:
        batch, micro = divmod(number, settings.accumulate)
        own = share(plan[batch], parts=settings.accumulate, part=micro)
        return share(own, parts=run.peers.size, part=run.peers.rank)

    shares = Batches(len(plan) * settings.accumulate, part)
    loader = batches(run.data, shares, train=True, num_workers=settings.num_workers, pin_memory=run.compute.pin_memory)
    for _ in range(len(plan)):
        yield list(islice(loader, settings.accumulate))


def train_step(run: Run, objective: nn.Module, micros: list[Batch]) -> None:
    """One optimizer step over all parts of a global batch, on all processes."""
    state, settings, progress = run.state, run.settings.trainer, run.state.progress
    rate = run.schedule(progress.step)
    for group in state.optimizer.param_groups:
        group["lr"] = group["initial_lr"] * rate
    # Divided by the weight of the whole step, so that neither parts nor processes change the mean.
    weight, rows = run.peers.sum([sum(mixed_weight(run.task, batch) for batch in micros), sum(map(len, micros))])
    balance = Balance(run.model, run.settings.technique, run.peers, state.scaler)
    total = torch.zeros((), device=run.compute.device)
    outputs: list[Outputs] = []
    for number, batch in enumerate(micros):
        seed_step(run.compute.device, run.settings.seed, progress.step, number, run.peers.rank, "step")
        moved = drop(batch, run.settings.technique.modality_dropout).to(run.compute.device)
        with run.peers.reported(), run.peers.synchronised(objective, number == len(micros) - 1):
            terms: Terms = objective(moved, alone=progress.step < run.settings.technique.unimodal_steps)
            if number == 0:  # as late as can be: the forward pass would cut up their memory, and backward ask for new
                state.optimizer.zero_grad(set_to_none=True)
            total += balance.backward(terms, weight)
        outputs.append(terms.outputs)
    fill_gradients(state.model)
    if state.scaler is not None:
        state.scaler.unscale_(state.optimizer)
    watched = balance.adjust(run.settings.seed, progress.step, watch=_logged(run, progress.step + 1))
    norm = nn.utils.clip_grad_norm_(state.model.parameters(), settings.clip_norm or math.inf)
    mine, norm_value = torch.stack([total, norm]).tolist()  # the only wait for the device in a step
    (loss_sum,) = run.peers.sum([mine])
    usable = math.isfinite(loss_sum) and math.isfinite(norm_value)
    if usable:
        progress.bad_steps = 0
    else:
        _leave_out(run, loss_sum, micros, outputs)
    if state.scaler is not None:
        state.scaler.step(state.optimizer)  # leaves the step out by itself where a gradient has overflowed
        state.scaler.update()
    elif usable:
        state.optimizer.step()
    if usable and state.average is not None:
        state.average.update(state.model)
    progress.step, progress.batch = progress.step + 1, progress.batch + 1
    if progress.batch == run.steps_per_epoch:
        progress.epoch, progress.batch = progress.epoch + 1, 0
    _tell(run, loss_sum, rate, int(rows), micros, watched)


def rest(run: Run) -> None:
    """Between two steps: evaluates and saves where either is due, and stops where a signal has asked for it."""
    progress, every = run.state.progress, run.settings.trainer.save_every_steps
    due = _evaluation_due(run)
    if due and progress.evaluated != progress.step:
        try:
            validate(run)
        except Abandoned:
            due = False  # made again after the resume
    reweigh(run)
    stopping = any(run.peers.sum([run.stop.number]))
    if due or stopping or progress.step == 0 or (every and progress.step % every == 0):
        save(run)
    if stopping:
        message = f"stopped by a signal at step {progress.step}, saved; go on with: mmtrain resume {run.folder}"
        raise Stopped(message, run.stop.number or signal.SIGTERM)


def validate(run: Run) -> None:
    """Scores the validation split and keeps count of the best."""
    progress = run.state.progress
    results = score(run, "val", poll=True)
    if isinstance(run.task, Calibrated):
        run.task.calibrate(results)
    metrics = scores(run.task, results)
    value = metrics[run.task.metric]
    progress.note(
        value,
        higher_is_better=run.task.higher_is_better,
        keep=run.settings.trainer.soup,
        patient=progress.step <= run.settings.technique.unimodal_steps,
    )
    write_evaluation(run, "val", results, metrics)
    if run.validated is not None:
        run.validated(progress.step, value if run.task.higher_is_better else -value)


def score(run: Run, split: str, *, poll: bool = False, model: nn.Module | None = None) -> Results:
    """Evaluates a split with the weights that count, the averaged ones where there are any; `model` may be a view."""
    state = run.state

    def made() -> Results:
        return evaluate(
            model or state.model,
            run.data,
            run.task,
            run.data.source.splits[split],
            compute=run.compute,
            batch_size=4 * run.settings.trainer.batch_size,
            num_workers=run.settings.trainer.num_workers,
            peers=run.peers,
            poll=lambda: poll and bool(run.stop.number),
        )

    with nullcontext() if state.average is None else state.average.applied(state.model):
        results = made()
    for name, reason in results.skipped:
        run.meter.once(f"skipped {name}: {reason}")
    refuse_many(dict(results.skipped), len(run.data.source.splits[split]), split, run.settings.max_bad_fraction)
    return results


def save(run: Run) -> None:
    """Saves a checkpoint; older ones go once the new one is known to be whole."""
    progress = run.state.progress
    if run.saved_step == progress.step or not run.peers.first:
        return
    if run.recorder is not None:
        run.recorder.sync()
    folder = run.folder / "checkpoints"
    path = checkpoint.save(folder, progress.step, run.state.tensors(), run.state.values(), run.facts)
    checkpoint.read(path)
    recent = [int(p.name.removeprefix("step_")) for p in checkpoint.steps(folder)[-run.settings.trainer.keep_last :]]
    checkpoint.prune(folder, {*recent, progress.chosen_step, *(step for step, _ in progress.top)})
    run.saved_step = progress.step


def finished(run: Run) -> bool:
    """Whether all steps are done, or validation has not improved for `trainer.patience` evaluations."""
    patience, progress = run.settings.trainer.patience, run.state.progress
    return progress.step >= run.total_steps or (patience is not None and progress.stale >= patience)


def _evaluation_due(run: Run) -> bool:
    settings, progress = run.settings.trainer, run.state.progress
    if progress.step == 0:
        return settings.evaluate_first
    if progress.step >= run.total_steps:
        return True
    if settings.evaluate_unit == "step":
        return progress.step % settings.evaluate_every == 0
    return progress.batch == 0 and progress.epoch % settings.evaluate_every == 0


def _leave_out(run: Run, loss: float, micros: list[Batch], outputs: list[Outputs]) -> None:
    """Counts a step that must not move the weights.

    Raises:
        NonFiniteError: There are too many of them in a row, or none is expected.
    """
    progress = run.state.progress
    progress.bad_steps += 1
    overflow = run.state.scaler is not None and math.isfinite(loss)  # normal under fp16: the scaler halves its scale
    if progress.bad_steps >= _MOST_BAD_STEPS["scaler" if overflow else run.settings.trainer.on_nonfinite]:
        raise non_finite(progress.step + 1, loss, micros, outputs)
    if run.recorder is not None:
        run.recorder.write("nonfinite", progress.step, epoch=progress.epoch)


def _logged(run: Run, step: int) -> bool:
    return step % run.settings.trainer.log_every_steps == 0 or step == 1


def _tell(run: Run, loss: float, rate: float, rows: int, micros: list[Batch], watched: Mapping[str, float]) -> None:
    progress = run.state.progress
    if run.settings.on_bad_sample == "skip":
        for pairs in run.peers.gather([pair for batch in micros for pair in batch.skipped]):
            run.skipped |= dict(pairs)
    for name, reason in run.skipped.items():
        run.meter.once(f"skipped {name}: {reason}")
    refuse_many(run.skipped, len(run.data.source.splits["train"]), "train", run.settings.max_bad_fraction)
    speed = run.meter.step(progress.step, loss=loss, rows=rows)
    if run.recorder is not None and _logged(run, progress.step):
        lr = rate * max(float(group["initial_lr"]) for group in run.state.optimizer.param_groups)
        values = {"loss": loss, "lr": lr, "samples_per_second": round(speed, 1), **watched}
        run.recorder.write("train", progress.step, epoch=progress.epoch, **values)

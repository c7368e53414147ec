"""`mmtrain check`: whether a training command line can be run, with every fault of it at once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mmtrain import arguments, check, compose, datapage, survey
from mmtrain.build import build
from mmtrain.components import Config, settings_of
from mmtrain.device import choose
from mmtrain.errors import ConfigError, DataError, MmtrainError
from mmtrain.interrupt import StopFlag
from mmtrain.peers import Peers
from mmtrain.rehearsal import rehearse
from mmtrain.report import bytes_of, duration, say
from mmtrain.training import prepare

OPTIONS = {
    "sample": "decode so many rows, at even distances, in place of all",
    "html": "also write a page of the data into this file: counts, examples, lengths",
}


def run(words: list[str]) -> None:
    """Takes what one would give to train: `mmtrain check fusion=sum --config-dir mine`.

    Where the config has no fault, its data and model are made as training makes them, but for weights to be downloaded;
    every row is decoded, and some steps are taken. Of a sweep only the config is looked at.

    Raises:
        ConfigError: The faults, one a line.
        DataError: The table, or rows of it, cannot be used.
    """
    sweep = any(word in ("-m", "--multirun") for word in words)
    flags, overrides = arguments.split([word for word in words if word not in ("-m", "--multirun")])
    own = [word for word in overrides if word.partition("=")[0] in OPTIONS]
    overrides = [word for word in overrides if word not in own]
    found = arguments.parse("check", [*flags, *own], positional=["[key=value ...]"], options=OPTIONS)
    config_dir = Path(found[arguments.CONFIG_DIR]) if arguments.CONFIG_DIR in found else None
    if faults := [*_faults(found), *check.faults(overrides, config_dir, multirun=sweep)]:
        raise ConfigError("\n".join(faults))
    chosen: dict[str, str] = {}
    if not sweep:
        node = compose.composed(compose.rewrite(overrides, config_dir), config_dir)
        config, chosen = compose.plain(node), compose.chosen(node)
        _try(config, found)
    parts = [f"{group}={option}" for group, option in reversed(chosen.items()) if not group.startswith("hydra/")]
    say("ok" + "".join(f"\n  {part}" for part in parts))


def _faults(given: Mapping[str, str]) -> list[str]:
    sample, html = given.get("sample", "1"), given.get("html")
    faults = (
        [] if sample.isdecimal() and int(sample) else [f"`sample={sample}`: expected a number of rows, at least 1."]
    )
    if html is not None and not Path(html).parent.is_dir():
        faults.append(f"`html={html}`: no folder {Path(html).parent}; make it first.")
    return faults


def _try(config: Config, given: Mapping[str, str]) -> None:
    """Goes the way of a run as far as its first steps, on all rows."""
    settings = settings_of(config)
    compute = choose(
        settings.device, settings.precision, num_threads=settings.num_threads, determinism=settings.determinism
    )
    parts = build(compose.without_initial_weights(config, but_files=True))
    run = prepare(parts, Path(), compute, Peers(), StopFlag(), resumed=False)
    start = time.monotonic()
    found = survey.take(run.data, int(given["sample"]) if "sample" in given else None)
    for line in survey.lines(found, run.data):
        say(line)
    read, bad = sum(found.read.values()), sum(map(len, found.bad.values()))
    say(f"read: {read:,} of {sum(found.rows.values()):,} rows in {duration(time.monotonic() - start)}, {bad:,} bad")
    if "html" in given:
        datapage.write(Path(given["html"]), run.data, found)
        say(f"page: {given['html']}")
    # Steps are taken on what can be read, so that a fault of theirs is told beside those of the rows.
    run.data, run.settings = replace(run.data, on_bad_sample="skip"), replace(settings, max_bad_fraction=1.0)
    bad_rows: DataError | None = None
    try:
        found.refuse_bad(settings.on_bad_sample, settings.max_bad_fraction)
    except DataError as error:
        bad_rows = error
    try:
        estimate = rehearse(run)
    except MmtrainError as error:
        raise error if bad_rows is None else DataError(f"{bad_rows}\n{error}") from None
    finally:
        run.meter.close()
    memory = "" if estimate.memory is None else f"; {bytes_of(estimate.memory)} of memory"
    say(
        f"a step of {settings.trainer.batch_size} rows takes {estimate.step:.3f} s{memory}; an epoch about "
        f"{duration(estimate.epoch)}, the run about {duration(estimate.run)}"
    )
    if bad_rows is not None:
        raise bad_rows

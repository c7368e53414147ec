"""The command `mmtrain`: finds the verb, hands over, and turns whatever goes wrong into one line and an exit code.

Training has no verb: its command line belongs to Hydra, after `check` has passed it. `--help` answers before torch or
Hydra is imported, so every import that costs time stands inside the function that needs it.
"""

from __future__ import annotations

import importlib
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from mmtrain.arguments import HelpAsked
from mmtrain.errors import ConfigError
from mmtrain.jobs import Jobs, explain
from mmtrain.suggest import did_you_mean

VERBS = {
    "start": {
        "init": "look at a table and write a config for it: init pets.csv target=kind out=myconf/dataset/pets.yaml",
        "check": "tell every fault of a command line, and whether it can be run",
        "list": "show the options there are, and the arguments of one: list encoder/image",
    },
    "run": {
        "resume": "go on with a run that was stopped: resume last",
        "evaluate": "measure a run on a split: evaluate last split=test",
        "predict": "predictions for a table: predict last input=new.csv",
        "retrieve": "the rows that are nearest to a text or a file: retrieve last query='a red circle'",
    },
    "study": {
        "study": "train a grid with several seeds, say what is noise: study ablation fusion=concat,sum",
        "robustness": "missing and bad modalities, and what each contributes, without training: robustness last",
        "reproduce": "train a run again from its folder, tell whether it comes out the same: reproduce last",
    },
    "look": {
        "report": "make the page of a run anew, or compare two: report last",
        "cache": "decoded samples that are kept, with sizes and ages; cache clear removes them",
    },
}
_KNOWN = {verb for verbs in VERBS.values() for verb in verbs}

_USAGE = """mmtrain: train multimodal models from configs.

  mmtrain [group=option] [key=value] ...     train
  mmtrain <verb> ...                         see below; mmtrain <verb> --help tells more

  mmtrain                                    the built-in data: look, listen and read
  mmtrain fusion=attention trainer.epochs=3  another fusion, three epochs
  mmtrain 'modalities=[text,image]'          two of the modalities
  mmtrain -m fusion=concat,sum seed=0,1      every combination, one run after another
"""
_FLAGS = """flags, when training
  -m              a sweep: values separated by commas are run one after another
  --config-dir D  also look for options in your own folder
  --cfg job       show the config instead of running it
  --info          how it was composed
  -sc install=bash   print the shell completion to evaluate
  --hydra-help    Hydra's own flags

Set MMTRAIN_DEBUG=1 for tracebacks."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line; returns its exit code."""
    # Threads of torch that wait must not spin: beside another busy process, spinning makes a step many times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from mmtrain.report import complain, say

    arguments = list(sys.argv[1:] if argv is None else argv)
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # for the user's own components; at the end, where it can hide nothing
    try:
        return _dispatch(arguments)
    except HelpAsked as answer:
        say(str(answer))
        return 0
    except BrokenPipeError:  # `mmtrain list | head` has read enough; nothing may be flushed into it at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  the border: every error becomes a line and a code
        code, text = explain(error)
        complain(text)
        return code


def _dispatch(arguments: list[str]) -> int:
    from mmtrain.report import say

    first = arguments[0] if arguments else ""
    if first in _KNOWN:
        importlib.import_module(f"mmtrain.commands.{first}").run(arguments[1:])
        return 0
    if "--help" in arguments or "-h" in arguments:
        say(_help())
        return 0
    if first == "--version":
        from importlib.metadata import version

        say(f"mmtrain {version('mmtrain')}")
        return 0
    _refuse_words(arguments)
    return _train(arguments)


def _help() -> str:
    groups = [
        "\n".join([group, *(f"  {verb.ljust(12)}{what}" for verb, what in verbs.items())])
        for group, verbs in VERBS.items()
    ]
    return "\n\n".join([_USAGE.rstrip(), *groups, _FLAGS])


def _refuse_words(arguments: list[str]) -> None:
    """Refuses a verb out of place, `train`, which is none, and words that are neither verb nor key=value."""
    for verb in [word for word in arguments if word in _KNOWN or word == "train"]:
        others = [word for word in arguments if word != verb]
        line = " ".join(["mmtrain", *([verb] if verb in _KNOWN else []), *others])
        reason = "a verb comes first" if verb in _KNOWN else "training needs no verb"
        raise ConfigError(f"`{verb}`: {reason}: {line}")
    first = arguments[0] if arguments else "-"
    if not first.startswith(("-", "~")) and "=" not in first:
        known = f" The verbs are {', '.join(sorted(_KNOWN))}."
        raise ConfigError(f"`{first}`: neither a verb nor key=value.{did_you_mean(first, _KNOWN) or known}")


def _train(arguments: list[str]) -> int:
    """Checks the command line, then gives it to Hydra, which calls back for every job."""
    from mmtrain import check, compose

    flags = _flags(arguments)
    config_dir = Path(flags.config_dir) if flags.config_dir else None
    typed = list(flags.overrides)
    line = typed
    if not (flags.shell_completion or flags.hydra_help):
        if found := check.faults(typed, config_dir, multirun=flags.multirun):
            raise ConfigError("\n".join(found))
        line = compose.rewrite(typed, config_dir)
    jobs = Jobs(_one_job, arguments, config_dir, multirun=flags.multirun)
    return jobs.run([*(word for word in arguments if word not in typed), *line])


def _one_job(config: dict[str, object], arguments: list[str]) -> Path:
    from mmtrain import training, trials

    return training.start(config, arguments, validated=trials.reporter())


def _flags(arguments: list[str]) -> Namespace:
    """Hydra's flags and the overrides, which may stand in any order."""
    from hydra._internal.utils import get_args_parser  # what hydra.main itself reads the command line with

    parser = get_args_parser()
    flags, unknown = parser.parse_known_intermixed_args(arguments)
    if unknown:
        hint = did_you_mean(unknown[0].partition("=")[0], ["--multirun", "--config-dir", "--cfg", "--info", "--help"])
        raise ConfigError(f"`{unknown[0]}`: no such flag.{hint or ' `mmtrain --help` lists them.'}")
    for name in ("config_path", "config_name", "experimental_rerun"):
        if getattr(flags, name) is not None:
            flag = f"--{name.replace('_', '-')}"
            raise ConfigError(f"`{flag}`: not used here; options of your own go into --config-dir DIR.")
    return flags

"""What `mmtrain robustness` can be asked, read and checked before the run is opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from mmtrain.corruptions.catalogue import names
from mmtrain.errors import ConfigError
from mmtrain.robustness.altered import Corruption
from mmtrain.suggest import did_you_mean

T = TypeVar("T")

OPTIONS = {
    "split": "train, val or test; test where it is not given",
    "rows": "how many rows of the split, evenly spaced; all where it is not given",
    "levels": "how strong corruptions are, above 0 to 1, separated by commas; .25,.5,.75,1 where it is not given",
    "corruptions": "those to try, such as image.blur,noise; all that fit the modalities where it is not given; or none",
    "rates": "shares of missing modalities, above 0 to 1; .1,.3,.5,.7,.9 where it is not given",
    "contribution": "true (the default) or false: whether to measure what each modality contributes",
    "permutations": "how often each modality is shuffled for that, 2 or more; 10 where it is not given",
    "unimodal": "run folders of models of one modality each, separated by commas, to compare with",
    "examples": "how many samples are explained, 0 or more; 4 where it is not given",
    "checkpoint": "best (by validation; the default), last, or the number of a step that was kept",
    "device": "auto, cpu, cuda, cuda:1 or mps; the run's own where it is not given",
    "num_threads": "threads of the CPU; the run's own where it is not given",
    "on_bad_sample": "error or skip (leave it out) at a cell that cannot be read; the run's own where it is not given",
    "max_bad_fraction": "with skip: the share of the split's rows that may be bad; the run's own where it is not given",
    "dataset.path": "the table, where it lies elsewhere now",
    "dataset.data_root": "the folder of the media files, where they lie elsewhere now",
    "output_dir": "where `last` is looked up; outputs where it is not given",
}


@dataclass(frozen=True)
class Question:
    """What to measure.

    Args:
        split: Of the run's data.
        rows: Most rows of it; None: all.
        levels: Of corruptions, rising, 0 first.
        corruptions: Names as typed; None: all.
        rates: Of missing modalities, rising, 0 first.
        contribution: Whether to measure what each modality contributes.
        permutations: Of each modality.
        unimodal: Runs to compare with.
        examples: Samples to explain.
    """

    split: str
    rows: int | None
    levels: tuple[float, ...]
    corruptions: tuple[str, ...] | None
    rates: tuple[float, ...]
    contribution: bool
    permutations: int
    unimodal: tuple[str, ...]
    examples: int


def read(given: Mapping[str, str]) -> Question:
    """What was typed, with what is left out filled in.

    Raises:
        ConfigError: All values that are not legal, a line each.
    """
    faults: list[str] = []

    def value(name: str, default: T, parse: Callable[[str], T], legal: Callable[[T], bool], expected: str) -> T:
        if name not in given:
            return default
        try:
            found = parse(given[name])
            if legal(found):
                return found
        except ValueError:
            pass
        faults.append(f"`{name}={given[name]}`: expected {expected}.")
        return default

    def shares(name: str, default: str) -> tuple[float, ...]:
        found = value(name, _numbers(default), _numbers, _are_shares, f"numbers above 0 to 1, such as {default}")
        return (0.0, *sorted(set(found)))

    def count(name: str, default: int, least: int) -> int:
        return value(name, default, int, lambda found: found >= least, f"a whole number, {least} or more")

    question = Question(
        split=given.get("split", "test"),
        rows=count("rows", 0, 2) or None,
        levels=shares("levels", ".25,.5,.75,1"),
        corruptions=_words(given["corruptions"]) if "corruptions" in given else None,
        rates=shares("rates", ".1,.3,.5,.7,.9"),
        contribution=value("contribution", "true", str, {"true", "false"}.__contains__, "true or false") == "true",
        permutations=count("permutations", 10, 2),
        unimodal=_words(given.get("unimodal", "")),
        examples=count("examples", 4, 0),
    )
    if question.unimodal and not question.contribution:
        faults.append("`unimodal`: compared with what each modality contributes; leave out contribution=false.")
    if faults:
        raise ConfigError("\n".join(faults))
    return question


def chosen(typed: tuple[str, ...] | None, kinds: Mapping[str, str]) -> list[Corruption]:
    """The corruptions that names stand for, over the modalities of a model.

    Args:
        typed: `blur` stands for that of every modality, `image.blur` for one; `none` for none; None for all there are.
        kinds: Of the modalities, by name.

    Raises:
        ConfigError: A name that no corruption has.
    """
    known = [Corruption(modality, name) for modality, kind in kinds.items() for name in names(kind)]
    if typed is None:
        return known
    if typed == ("none",):
        return []
    legal = [*map(str, known), *dict.fromkeys(one.name for one in known), "none"]
    for word in typed:
        if word not in legal or word == "none":
            there = did_you_mean(word, legal) or f" There are {', '.join(legal)}."
            raise ConfigError(f"`corruptions={','.join(typed)}`: no '{word}' for {', '.join(kinds)}.{there}")
    return [one for one in known if str(one) in typed or one.name in typed]


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.strip("[]").split(",") if word.strip())


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(word) for word in _words(text))


def _are_shares(values: tuple[float, ...]) -> bool:
    return bool(values) and all(0 < value <= 1 for value in values)

"""The few `key=value` arguments of the verbs."""

from __future__ import annotations

import pytest

from mmtrain.arguments import HelpAsked, parse, split
from mmtrain.errors import ConfigError

OPTIONS = {"split": "which rows", "output": "a file"}


def test_positional_and_named_arguments_are_told_apart_in_any_order():
    given = parse("evaluate", ["split=val", "outputs/x", "output=a=b.csv"], positional=["run"], options=OPTIONS)

    assert given == {"run": "outputs/x", "split": "val", "output": "a=b.csv"}


@pytest.mark.parametrize("words", [["--config-dir", "mine"], ["--config-dir=mine"], ["-cd", "mine"]])
def test_every_verb_takes_the_users_own_folder(words):
    assert parse("evaluate", words, options={}) == {"config-dir": "mine"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["last", "splitt=val"], "Did you mean `split`?"),
        (["last", "--split=val"], "Did you mean `split`?"),
        (["last", "split"], "needs a value"),
        (["last", "again"], "one argument too many. Usage: mmtrain evaluate <run>"),
        ([], "`run` is missing. Usage: mmtrain evaluate <run>"),
        (["last", "--config-dir"], "needs a folder"),
        (["last", "-z"], "Usage: mmtrain evaluate <run>"),
    ],
)
def test_what_is_wrong_is_told_with_the_way_out(words, message):
    with pytest.raises(ConfigError) as caught:
        parse("evaluate", words, positional=["run"], options=OPTIONS)

    assert message in str(caught.value)


def test_an_argument_in_brackets_may_be_left_out():
    assert parse("list", [], positional=["[group]"], options={}) == {}
    assert parse("list", ["fusion"], positional=["[group]"], options={}) == {"group": "fusion"}


def test_help_shows_every_option_with_its_meaning():
    with pytest.raises(HelpAsked) as asked:
        parse("evaluate", ["last", "--help"], positional=["run"], options=OPTIONS)

    assert str(asked.value).splitlines()[0].startswith("Usage: mmtrain evaluate <run>")
    assert all(meaning in str(asked.value) for meaning in OPTIONS.values())


def test_flags_are_parted_from_overrides_with_their_values():
    flags, overrides = split(["fusion=sum", "--config-dir", "mine", "seed=1", "--help"])

    assert flags == ["--config-dir", "mine", "--help"]
    assert overrides == ["fusion=sum", "seed=1"]

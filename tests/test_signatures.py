"""A constructor's signature is the schema of its config node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import pytest

from mmtrain.contracts import Range
from mmtrain.signatures import REQUIRED, accepts, arguments, choices, described, locate

if TYPE_CHECKING:
    from somewhere import Unknown

Rate = Annotated[float, Range(0, 1)]


class Component:
    def __init__(self, spec: Unknown, *, rate: Rate = 0.5, path: str, other: Unknown | None = None) -> None: ...


def test_what_the_code_hands_over_is_not_an_argument_of_the_config():
    found = arguments(Component)

    assert list(found) == ["rate", "path", "other"]
    assert found["rate"].default == 0.5
    assert found["path"].default is REQUIRED


def test_a_type_that_is_only_there_for_a_type_checker_accepts_anything():
    assert accepts(arguments(Component)["other"].hint, object())


def test_a_component_that_takes_any_keyword_is_not_judged():
    def anything(spec: object, **others: object) -> None: ...

    assert arguments(anything) is None


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (int, [0, -3], [1.0, True, "1", None]),
        (float, [0, 1.5], [True, "1", float("nan"), float("inf")]),
        (bool, [True], [1, "true", None]),
        (str, [""], [1, None]),
        (int | None, [1, None], ["x"]),
        (Rate, [0, 0.5, 1], [-0.1, 1.1, "x", float("nan")]),
        (Rate | None, [None, 0.5], [2]),
        (Literal["a", "b"], ["a"], ["c", None]),
        (Literal[1, 3], [1], [True, 2]),
        (list[int], [[], [1, 2]], [[1.5], "12", 1]),
        (Sequence[Rate], [[0.5]], [[2.0]]),
        (tuple[float, float], [[0.9, 0.99]], [[0.9], [0.9, 0.9, 0.9]]),
        (tuple[int, ...], [[1, 2, 3]], [["a"]]),
        (Mapping[str, int], [{"a": 1}], [{"a": "b"}, [1]]),
        (Callable[[int], int], [{"_target_": "x.Y"}], ["x.Y", {}]),
        (int | list[int], [1, [1]], ["1", ["1"]]),
    ],
)
def test_a_value_fits_its_type_or_not(hint, good, bad):
    assert all(accepts(hint, value) for value in good)
    assert not any(accepts(hint, value) for value in bad)


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (Annotated[int, Range(1)] | None, "int, at least 1 or null"),
        (Rate, "float, from 0 to 1"),
        (Literal["a", "b"], "one of a, b"),
        (tuple[float, float], "list of 2: float, float"),
        (dict[str, str], "mapping to str"),
        (Callable[[int], object] | None, "a component with a `_target_` or null"),
    ],
)
def test_a_type_is_described_in_words(hint, words):
    assert described(hint) == words


def test_the_words_of_a_nested_choice_are_found():
    assert choices(list[Literal["a", "b"]] | Literal["none"] | None) == ["a", "b", "none"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such_package.Mine", "no_such_package"),
        ("mmtrain.contracts.Rnage", "Did you mean `Range`?"),
        ("plain", "plain"),
    ],
)
def test_a_target_that_is_not_there_is_explained(target, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        locate(target)


def test_a_module_of_the_user_that_fails_on_import_is_told_as_such(tmp_path, monkeypatch):
    (tmp_path / "breaks_on_import.py").write_text("1 / 0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ValueError, match="ZeroDivisionError"):
        locate("breaks_on_import.Mine")

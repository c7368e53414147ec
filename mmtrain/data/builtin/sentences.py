"""Sentences of the built-in data: frames with slots, in two directions that differ only in the words of the slots.

Each split has its own frames. Those of val and test hold no word that train lacks, so a held-out sentence is new but
never unreadable; and as both directions fill the same frames, nothing but the slots tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

SLOTS: Mapping[str, Mapping[str, str]] = {
    "look": {"act": "look", "attend": "look at", "sense": "see", "thing": "picture", "organ": "eyes"},
    "listen": {"act": "listen", "attend": "listen to", "sense": "hear", "thing": "sound", "organ": "ears"},
    "add": {"do": "add", "sign": "plus", "way": "up", "size": "larger", "amount": "more"},
    "take": {"do": "take", "sign": "minus", "way": "down", "size": "smaller", "amount": "less"},
}
"""The words of each direction, by slot."""

_ATTEND: Mapping[str, tuple[str, ...]] = {
    "train": (
        "{attend} the {thing}",
        "what number do you {sense}",
        "use your {organ} and tell me the number",
        "the {thing} is the answer",
        "please {act} and answer",
        "tell me what you {sense} now",
        "now answer with your {organ}",
        "which number is in the {thing}",
        "you can trust the {thing}",
        "{act} now and tell me",
    ),
    "val": (
        "tell me which number is in the {thing}",
        "now use your {organ}",
        "please answer with the number you {sense}",
        "{attend} the {thing} and answer",
    ),
    "test": (
        "now {attend} the {thing} and tell me the number",
        "please trust your {organ}",
        "which number can you {sense}",
        "please use the {thing}",
        "now you can {act} and answer",
    ),
}
_COUNT: Mapping[str, tuple[str, ...]] = {
    "train": (
        "{do} {step}",
        "the digit {sign} {step}",
        "go {way} by {step}",
        "make the digit {size} by {step}",
        "what is {amount} than the digit by {step}",
        "please {do} {step} now",
        "count {way} {step} from the digit",
        "tell me the digit {sign} {step}",
    ),
    "val": (
        "what is the digit {sign} {step}",
        "now go {way} from the digit by {step}",
        "please make the digit {size} by {step}",
    ),
    "test": (
        "tell me what is {size} than the digit by {step}",
        "please go {way} {step}",
        "now please {do} {step}",
        "please count {way} from the digit by {step}",
    ),
}


_OPENINGS = ("", "please", "now", "this time", "hello", "once more")
_CLOSINGS = ("", "please", "now", "thank you", "for me", "if you can")


@cache
def sentences(direction: str, split: str, step: str) -> tuple[str, ...]:
    """All sentences of a split that say `direction`: each of its frames with every opening and closing.

    These say nothing of the direction; they keep a network from learning the few frames of train by heart.

    Args:
        direction: A key of `SLOTS`.
        split: train, val or test.
        step: What is counted, such as "one".
    """
    frames = _ATTEND if direction in ("look", "listen") else _COUNT
    said: dict[str, list[str]] = {}
    for name, lines in frames.items():
        filled = [line.format(step=step, **SLOTS[direction]) for line in lines]
        whole = (" ".join(f"{a} {line} {z}".split()) for line in filled for a in _OPENINGS for z in _CLOSINGS)
        before = {text for texts in said.values() for text in texts}  # two frames can meet in one sentence
        said[name] = [text for text in dict.fromkeys(whole) if text not in before]
    return tuple(said[split])

"""A run's facts about its data on disk: spec.json, and a folder of vocabularies, one word a line, and of tokenizers.

The vocabulary of a target stays in spec.json: a character may be a line break.

The folder may come from a stranger, so that every value is held against its type and bounds before anything uses it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from mmtrain.contracts import ColumnSpec, DataSpec, SignalSpec
from mmtrain.errors import CheckpointError, DataError
from mmtrain.target import TargetSpec

FORMAT = 1
MAX_FILE = 256 * 2**20  # bytes
MAX_SAMPLE = 2**28  # numbers in one sample
_NAME = re.compile(r"\w[\w.-]*")  # a modality's name becomes a file's name


def spec_to_json(spec: DataSpec) -> dict[str, object]:
    """Plain values for JSON; of a vocabulary only its size, of a tokenizer whether there is one."""
    return {
        "format": FORMAT,
        "signals": {
            name: {
                "kind": signal.kind,
                "shape": list(signal.shape),
                "length": signal.length,
                "vocabulary": len(signal.vocabulary),
                "sample_rate": signal.sample_rate,
                "special": list(signal.special),
                "tokenizer": bool(signal.tokenizer),
                "columns": [
                    {"categories": list(column.categories), "mean": column.mean, "std": column.std}
                    for column in signal.columns
                ],
            }
            for name, signal in spec.signals.items()
        },
        "targets": {
            name: {key: list(value) if isinstance(value, tuple) else value for key, value in _facts(target).items()}
            for name, target in spec.targets.items()
        },
        "ceilings": dict(spec.ceilings),
    }


def spec_from_json(
    content: object, vocabularies: Mapping[str, tuple[str, ...]], tokenizers: Mapping[str, str] | None = None
) -> DataSpec:
    """The reverse of `spec_to_json`, with the words and the tokenizer of each modality that has some.

    Raises:
        CheckpointError: A key, type or value that `spec_to_json` would not write.
    """
    root = _record(content, "spec.json", "format", "signals", "targets", "ceilings")
    if root["format"] != FORMAT:
        raise CheckpointError(f"spec.json has format {root['format']!r}; this mmtrain reads format {FORMAT}.")
    signals, targets, ceilings = (_mapping(root[key], key) for key in ("signals", "targets", "ceilings"))
    return DataSpec(
        signals={
            name: _signal(name, value, vocabularies.get(name, ()), (tokenizers or {}).get(name, ""))
            for name, value in signals.items()
        },
        targets={name: _target(name, value) for name, value in targets.items()},
        ceilings={name: _share(value, f"ceilings.{name}") for name, value in ceilings.items()},
    )


def save_spec(folder: Path, spec: DataSpec) -> None:
    """Writes spec.json, and vocabulary/<modality>.txt and .json, into the folder of a run.

    Raises:
        DataError: A modality's name cannot name a file, or a word holds a line break.
    """
    for name, signal in spec.signals.items():
        if not _NAME.fullmatch(name):
            raise DataError(f"modality '{name}' cannot name a file; use letters, digits, '_', '-' and '.' only.")
        if any("\n" in word or "\r" in word for word in signal.vocabulary):
            raise DataError(f"a word of `{name}` holds a line break, which its vocabulary file cannot keep.")
    text = json.dumps(spec_to_json(spec), indent=2, ensure_ascii=False)
    (folder / "spec.json").write_text(f"{text}\n", encoding="utf-8")
    for name, signal in spec.signals.items():
        if signal.vocabulary:
            path = folder / "vocabulary" / f"{name}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text("\n".join(signal.vocabulary) + "\n", encoding="utf-8", newline="\n")
            if signal.tokenizer:
                path.with_name(f"{name}.json").write_text(signal.tokenizer, encoding="utf-8", newline="\n")


def load_spec(folder: Path) -> DataSpec:
    """Reads what `save_spec` wrote.

    Raises:
        CheckpointError: A file is missing, or holds what `save_spec` would not write.
    """
    try:
        content: object = json.loads(_text(folder / "spec.json"))
    except (json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(f"{folder / 'spec.json'} is no JSON: {error}.") from None
    signals = _record(content, "spec.json", "format", "signals", "targets", "ceilings")["signals"]
    vocabularies, tokenizers = {}, {}
    for name, value in _mapping(signals, "signals").items():
        if not _NAME.fullmatch(name):
            raise CheckpointError(f"spec.json: modality {name[:80]!r} cannot name a file.")
        if isinstance(value, dict) and value.get("vocabulary"):
            words = _text(folder / "vocabulary" / f"{name}.txt").removesuffix("\n")
            vocabularies[name] = tuple(words.split("\n"))
        if isinstance(value, dict) and value.get("tokenizer"):
            tokenizers[name] = _text(folder / "vocabulary" / f"{name}.json")
    return spec_from_json(content, vocabularies, tokenizers)


def _signal(name: str, value: object, words: tuple[str, ...], tokenizer: str) -> SignalSpec:
    where = f"signals.{name}"
    keys = ("kind", "shape", "length", "vocabulary", "sample_rate", "special", "tokenizer", "columns")
    fields = _record(value, where, *keys)
    shape = tuple(_integer(side, f"{where}.shape", 1) for side in _sequence(fields["shape"], f"{where}.shape"))
    length = _integer(fields["length"], f"{where}.length", 1)
    size = length
    for side in shape:
        size *= side
    if size > MAX_SAMPLE:
        raise CheckpointError(f"spec.json: a sample of {where} would hold {size:,} numbers, more than {MAX_SAMPLE:,}.")
    if len(set(words)) != _integer(fields["vocabulary"], f"{where}.vocabulary", 0) or len(set(words)) != len(words):
        raise CheckpointError(
            f"vocabulary/{name}.txt has {len(set(words)):,} distinct words in {len(words):,} lines; "
            f"spec.json announces {fields['vocabulary']:,}."
        )
    rate = _integer(fields["sample_rate"], f"{where}.sample_rate", 0)
    special = tuple(_integer(one, f"{where}.special", 0) for one in _sequence(fields["special"], f"{where}.special"))
    if not special or (words and max(special) >= len(words)):
        raise _wrong(fields["special"], f"{where}.special", f"one id at least, each below {len(words):,}")
    if fields["tokenizer"] is not bool(tokenizer):
        raise _wrong(fields["tokenizer"], f"{where}.tokenizer", f"{bool(tokenizer)}".lower())
    columns = tuple(_column(f"{where}.columns", one) for one in _sequence(fields["columns"], f"{where}.columns"))
    if columns and len(columns) != length:
        raise CheckpointError(f"spec.json: {where} must have as many columns as its length (={length:,}).")
    kind = _string(fields["kind"], f"{where}.kind")
    return SignalSpec(name, kind, shape, length, words, rate, special, tokenizer, columns)


def _column(where: str, value: object) -> ColumnSpec:
    fields = _record(value, where, "categories", "mean", "std")
    names = tuple(_string(name, f"{where}.categories") for name in _sequence(fields["categories"], where))
    mean, std = _finite(fields["mean"], f"{where}.mean"), _finite(fields["std"], f"{where}.std")
    if len(set(names)) != len(names) or std <= 0:
        raise CheckpointError(f"spec.json: {where} must have distinct categories and `std` above 0; found {std:g}.")
    return ColumnSpec(names, mean, std)


def _target(name: str, value: object) -> TargetSpec:
    where = f"targets.{name}"
    found = _record(value, where, *_facts(TargetSpec("", "")))

    def strings(key: str) -> tuple[str, ...]:
        return tuple(_string(text, f"{where}.{key}") for text in _sequence(found[key], f"{where}.{key}"))

    classes, vocabulary = strings("classes"), strings("vocabulary")
    counts = tuple(_integer(count, f"{where}.counts", 0) for count in _sequence(found["counts"], f"{where}.counts"))
    if len(set(classes)) != len(classes) or len(counts) != len(classes):
        raise CheckpointError(f"spec.json: {where} must have distinct classes and as many counts.")
    if len(set(vocabulary)) != len(vocabulary):
        raise CheckpointError(f"spec.json: {where}.vocabulary must have distinct tokens.")
    deviation = _finite(found["deviation"], f"{where}.deviation")
    if deviation <= 0:
        raise _wrong(deviation, f"{where}.deviation", "a number above 0")
    return TargetSpec(
        name,
        _string(found["kind"], f"{where}.kind"),
        classes,
        counts,
        rows=_integer(found["rows"], f"{where}.rows", 0),
        mean=_finite(found["mean"], f"{where}.mean"),
        deviation=deviation,
        tokenizer=_string(found["tokenizer"], f"{where}.tokenizer"),
        vocabulary=vocabulary,
        merges=strings("merges"),
        length=_integer(found["length"], f"{where}.length", 0),
        frames=_integer(found["frames"], f"{where}.frames", 0),
    )


def _facts(target: TargetSpec) -> dict[str, object]:
    """The fields of a target but its name, which is their key."""
    return {field.name: getattr(target, field.name) for field in fields(target) if field.name != "name"}


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE:
            raise CheckpointError(f"{path} has more than {MAX_FILE:,} bytes.")
        with path.open(encoding="utf-8", newline="\n") as file:
            return file.read()
    except FileNotFoundError:
        raise CheckpointError(f"no {path}: the run ended before it had read its data; train anew.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from None


def _record(value: object, where: str, *keys: str) -> dict[str, object]:
    found = _mapping(value, where)
    if set(found) != set(keys):
        raise CheckpointError(f"spec.json: {where} must have the keys {', '.join(keys)}; found {', '.join(found)}.")
    return found


def _mapping(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _wrong(value, where, "an object")
    return value


def _sequence(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        raise _wrong(value, where, "a list")
    return value


def _string(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise _wrong(value, where, "a string")
    return value


def _integer(value: object, where: str, low: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise _wrong(value, where, f"a whole number, at least {low}")
    return value


def _finite(value: object, where: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise _wrong(value, where, "a finite number")
    return float(value)


def _share(value: object, where: str) -> float:
    number = _finite(value, where)
    if not 0 <= number <= 1:
        raise _wrong(value, where, "a number from 0 to 1")
    return number


def _wrong(value: object, where: str, expected: str) -> CheckpointError:
    return CheckpointError(f"spec.json: {where} must be {expected}; found {repr(value)[:80]}.")

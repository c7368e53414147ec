"""Writes a proposal as a YAML file: an option of the group `dataset`, every line with what speaks for it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from mmtrain.data.proposals.inference import Column
from mmtrain.data.proposals.proposal import Proposal

_ENOUGH = 5  # rows of a tag
_BARE = re.compile(r"[^\W\d][\w/.-]*")
_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"}  # what YAML reads as no text


def table_config(found: Proposal, *, path: str, read: Mapping[str, str], task: str | None, command: str) -> str:
    """The text of a YAML file.

    Args:
        found: What the columns seem to be.
        path: The table, as the file shall name it.
        read: What else says how to read it: `encoding`, `data_root`.
        task: The option of the group `task` to choose; None: the file leaves it open.
        command: The command line that trains on it.
    """
    used = found.tabular if found.tabular_used else found.modalities
    names = ", ".join(column.name for column in used)
    lines = [
        "# @package _global_",
        f"# {found.target.name} ({found.kind.kind}) of {path} from {names}; {len(found.table):,} rows.".replace(
            "\n", " "
        ),
        f"# Written by mmtrain init, for you to change. Train: {command}",
    ]
    if task:
        lines += ["defaults:", _noted(f"  - override /task: {task}", f"for a target of kind {found.kind.kind}")]
    lines += ["dataset:", "  _target_: mmtrain.data.tables.table.TableSource"]
    lines.append(_noted(f"  path: {quoted(path)}", "relative to the folder in which mmtrain is started"))
    lines += [f"  {name}: {quoted(value)}" for name, value in read.items()]
    lines.append(_noted(f"  target: {quoted(found.target.name)}", found.evidence(found.target)))
    if found.blank:
        lines.append(_noted("  on_blank_target: drop", f"{found.blank:,} rows have none; error refuses the table"))
    lines += ["  kinds:                       # of each modality; a column that is not listed is not used"]
    lines += _kinds(found)
    lines += _columns(found)
    lines += _dividing(found)
    if task == "tagging":
        separator = found.target.separator or "json"
        lines += ["task:", _noted(f"  separator: {quoted(separator)}", "between the tags of a cell; json: a list")]
        lines += _rare_tags(found)
    if found.readers:
        lines.append("reader:")
        for kind, settings in found.readers.items():
            lines.append(f"  {kind}:")
            lines += [_noted(f"    {name}: {setting.value:g}", setting.evidence) for name, setting in settings.items()]
    return "\n".join([*lines, ""])


def quoted(value: str) -> str:
    """A text as YAML reads it back, in double quotes where it could be taken for something else."""
    bare = _BARE.fullmatch(value) and value.lower() not in _WORDS
    return value if bare else json.dumps(value.replace("${", "\\${"), ensure_ascii=False)


def _kinds(found: Proposal) -> Iterator[str]:
    for column in found.modalities:
        yield _noted(f"    {quoted(_modality(column))}: {column.kind}", column.evidence)
    if found.tabular:
        mark = "" if found.tabular_used else "# "
        why = "numbers and categories" + ("" if found.tabular_used else "; to use them take the # away, here and below")
        yield _noted(f"    {mark}tabular: tabular", why)
    for name, reason in found.leaks.items():
        column = found.columns[name]
        yield _noted(f"    # {quoted(_modality(column))}: {column.kind}", f"suspected leak: {reason}")


def _columns(found: Proposal) -> Iterator[str]:
    """The columns of modalities that have several or another name, and proposals of such."""
    renamed = [c for c in (*found.modalities, *(found.columns[n] for n in found.leaks)) if _modality(c) != c.name]
    pictures = [column for column in found.modalities if column.kind == "image"]
    if not (renamed or found.tabular or len(pictures) > 1):
        return
    yield "  columns:                     # {modality: [column, ...]} where they are several, or called otherwise"
    for column in renamed:
        mark = "# " if column.name in found.leaks else ""
        yield f"    {mark}{quoted(_modality(column))}: {_list([column])}"
    if found.tabular:
        mark = "" if found.tabular_used else "# "
        yield _noted(f"    {mark}tabular: {_list(found.tabular)}", "list those to use")
    if len(pictures) > 1:
        yield _noted(f"    # views: {_list(pictures)}", "several pictures in a row: `views: video` among the kinds")


def _dividing(found: Proposal) -> Iterator[str]:
    """How rows are divided: by a column of the table, or at random."""
    split, fold, group, time = (found.first(role) for role in ("split", "fold", "group", "time"))
    if split is not None:
        yield _noted(f"  split: {quoted(split.name)}", split.evidence)
        if names := found.split_names():
            inner = ", ".join(f"{quoted(name)}: {meaning}" for name, meaning in names.items())
            yield _noted(f"  split_names: {{{inner}}}", "no row is called train")
    elif fold is None:
        yield "  split: null                  # drawn at random: see val_fraction, test_fraction, seed"
    if fold is not None:
        mark = "" if split is None else "# "
        yield _noted(f"  {mark}fold_column: {quoted(fold.name)}", fold.evidence)
        yield _noted(f"  {mark}fold: null", "the fold that is the test; null: the first")
    if group is not None:
        mark = "" if split is None else "# "
        yield _noted(f"  {mark}group: {quoted(group.name)}", f"kept in one split; {group.evidence}")
    if time is not None:
        yield _noted(f"  # time: {quoted(time.name)}", f"in place of the above: the latest rows test; {time.evidence}")


def _rare_tags(found: Proposal) -> Iterator[str]:
    """Leaves out tags that a random split would hardly have in all parts."""
    if separator := found.target.separator:
        cells = found.table.columns[found.target.name]
        counts = Counter(tag.strip() for cell in cells for tag in set(cell.split(separator)) if tag.strip())
        if rare := sum(count < _ENOUGH for count in counts.values()):
            why = f"{rare:,} of {len(counts):,} tags are on fewer rows, and left out; 1: each must be in training"
            yield _noted(f"  min_count: {_ENOUGH}", why)


def _modality(column: Column) -> str:
    """The name of a column as that of a modality, which is made of letters, digits and `_`."""
    return re.sub(r"\W+", "_", column.name).strip("_") or "column"


def _list(columns: Sequence[Column]) -> str:
    return f"[{', '.join(quoted(column.name) for column in columns)}]"


def _noted(line: str, note: str) -> str:
    return f"{line.ljust(30)} # {' '.join(note.split())}"

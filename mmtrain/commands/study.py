"""`mmtrain study NAME`: trains every cell of a grid with several seeds, and says what the differences are worth."""

from __future__ import annotations

import hashlib
import json
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmtrain import arguments
from mmtrain.build import build_source
from mmtrain.components import settings_of
from mmtrain.errors import CellsFailed, CheckpointError, ConfigError
from mmtrain.interrupt import watched
from mmtrain.protocols import DataSource
from mmtrain.report import complain, duration, say, table
from mmtrain.runfolder import write_text
from mmtrain.runlock import locked
from mmtrain.study import estimate, page, rows, tables
from mmtrain.study.cell_run import RESULT, Order, Outcome
from mmtrain.study.cells import Cell, Grid, base_config, grid
from mmtrain.study.question import OPTIONS, Question, read
from mmtrain.study.results import Result, tabulate
from mmtrain.study.workers import outcomes
from mmtrain.wholefile import write_whole

RUNS = "runs.jsonl"


def run(words: list[str]) -> None:
    """Runs what is left of a study, then makes its table.

    Raises:
        ConfigError: The command line, or cells that cannot be compared.
        DataError: The data are not those the study began with.
        CellsFailed: Some cells did not finish; all others did, and are in the table.
    """
    flags, rest = arguments.split(words)
    names = [word for word in rest if "=" not in word]
    given = arguments.parse("study", [*flags, *names], positional=("name",), options=OPTIONS)
    config_dir = Path(given[arguments.CONFIG_DIR]) if arguments.CONFIG_DIR in given else None
    question = read(given["name"], [word for word in rest if "=" in word], config_dir)
    base = base_config(question)
    source, wanted = build_source(base), settings_of(base).modalities
    if strangers := [name for name in wanted or () if name not in source.kinds]:
        raise ConfigError(f"`modalities`: no '{strangers[0]}' in the data; it has {', '.join(source.kinds)}.")
    known = [name for name in source.kinds if wanted is None or name in wanted]
    cells = grid(question, known)
    rows.test_groups(source, "val", question.settings.group)  # a missing column is told before the first cell
    if question.dry_run:
        _list(question, cells, source)
        return
    question.folder.mkdir(parents=True, exist_ok=True)
    with locked(question.folder):
        rows.require_same(source, question.folder)
        write_text(question.folder / "command.txt", shlex.join(["mmtrain", "study", *words]) + "\n")
        finished = _finished(question.folder, cells)
        failed = _train(question, cells, finished)
        _write(question, cells, finished, failed, source)
    if failed:
        first = next(iter(failed.values()))
        told = f"{len(failed)} of {_count(cells)} cells failed; the first: {first.text}"
        raise CellsFailed(f"{told}\nThe same command tries them again.", first.code)


def _list(question: Question, cells: Grid, source: DataSource) -> None:
    """Says what would be trained, how long it takes and what disk it needs."""
    done = _finished(question.folder, cells) if question.folder.is_dir() else {}
    left = [cell for cell in _distinct(cells) if cell.identity not in done]
    keep = question.settings.keep_weights
    needs = {cell.label: estimate.measure(cell, source, keep_weights=keep) for cell in _one_a_label(left)}
    lines = [["cell", "state", "time"]]
    for cell in _distinct(cells):
        state = ["finished", ""] if cell.identity in done else ["to train", duration(needs[cell.label].seconds)]
        lines.append([f"{cell.identity} {cell}", *state])
    say(table(lines))
    jobs = question.settings.jobs
    seconds = sum(needs[cell.label].seconds for cell in left)
    needed = estimate.require_disk(question.folder, [needs[cell.label] for cell in left], jobs)
    say(
        f"{len(left)} of {_count(cells)} cells to train: about {duration(seconds / max(1, min(jobs, len(left))))} with "
        f"jobs={jobs}, if as many cores are free; {needed / 1e6:,.0f} MB of disk at most, in {question.folder}"
    )


def _finished(folder: Path, cells: Grid) -> dict[str, tuple[Path, Result]]:
    """The cells that need not be trained again: those in runs.jsonl, as they were written.

    Raises:
        CheckpointError: One was changed since.
    """
    path, found = folder / RUNS, {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    noted = {line["cell"]: line for line in map(_parsed, lines) if line}
    for cell in _distinct(cells):
        line = noted.get(cell.identity)
        if line is None or "sha256" not in line:
            continue
        run_folder = folder / str(line["folder"])
        result = run_folder / RESULT
        if not result.is_file():
            say(f"{cell}: {run_folder} is gone; it is trained again")
            continue
        content = result.read_bytes()
        if hashlib.sha256(content).hexdigest() != line["sha256"]:
            raise CheckpointError(
                f"{result}: changed since the cell ({cell}) finished; delete {run_folder.parent} to train it again."
            )
        found[cell.identity] = run_folder, json.loads(content)
    return found


def _train(question: Question, cells: Grid, finished: dict[str, tuple[Path, Result]]) -> dict[str, Outcome]:
    """Trains what is not finished, adds it to `finished`, and returns what failed."""
    settings = question.settings
    left = [cell for cell in _distinct(cells) if cell.identity not in finished]
    if finished:
        say(f"{len(finished)} of {_count(cells)} cells have finished before")
    _compact(question.folder / RUNS)
    by_identity = {cell.identity: cell for cell in left}
    orders = [Order(cell, question.folder, settings.group, settings.keep_weights) for cell in left]
    failed: dict[str, Outcome] = {}
    begun = time.monotonic()
    with watched() as stop:
        for number, outcome in enumerate(outcomes(orders, settings.jobs, stop), 1):
            cell = by_identity[outcome.identity]
            place = f"cell {number}/{len(left)}  {cell}"
            if outcome.code:
                failed[outcome.identity] = outcome
                complain(f"{place}  failed ({outcome.code}): {outcome.text}")
                _note(question.folder, cell, {"code": outcome.code, "message": outcome.text})
                if settings.fail_fast:
                    break
                continue
            folder = Path(outcome.text)
            content = (folder / RESULT).read_bytes()
            result: Result = json.loads(content)
            finished[outcome.identity] = folder, result
            _note(question.folder, cell, _line(question.folder, folder, result, content))
            spent = "" if result["seconds"] is None else f"  {duration(result['seconds'])}"
            eta = duration((time.monotonic() - begun) / number * (len(left) - number))
            say(f"{place}  {result['split']} {result['metric']} {result['value']:.4f}{spent}  eta {eta}")
    return failed


def _line(study: Path, folder: Path, result: Result, content: bytes) -> Mapping[str, object]:
    kept = {name: value for name, value in result.items() if name != "units"}
    return {"folder": str(folder.relative_to(study)), **kept, "sha256": hashlib.sha256(content).hexdigest()}


def _note(folder: Path, cell: Cell, values: Mapping[str, object]) -> None:
    """Appends a line to runs.jsonl."""
    line = {"cell": cell.identity, "axes": dict(cell.label), "seed": cell.seed, **values}
    with (folder / RUNS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _compact(path: Path) -> None:
    """Drops lines that a later one replaces, and one that a killed study has left half written."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    newest = {line["cell"]: line for line in map(_parsed, lines) if line}
    write_whole(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in newest.values()))


def _write(
    question: Question,
    cells: Grid,
    finished: Mapping[str, tuple[Path, Result]],
    failed: Mapping[str, Outcome],
    source: DataSource,
) -> None:
    made = tabulate(question, cells, finished, source)
    if made is None:
        return
    confidence = question.settings.confidence
    tables.write(question.folder, made, confidence)
    reasons = {str(cell): failed[cell.identity].text for cell in cells.cells if cell.identity in failed}
    page.write(question, made, reasons)
    say("\n" + table(tables.shown(made)) + "\n" + "\n".join(tables.caption(made, confidence)))
    say(f"page: {question.folder / 'table.html'}")


def _distinct(cells: Grid) -> Sequence[Cell]:
    """Each cell once, where two ways to write a value mean the same."""
    return list({cell.identity: cell for cell in reversed(cells.cells)}.values())[::-1]


def _one_a_label(cells: Sequence[Cell]) -> Sequence[Cell]:
    return list({cell.label: cell for cell in cells}.values())


def _count(cells: Grid) -> int:
    return len(_distinct(cells))


def _parsed(line: str) -> dict[str, object]:
    """A line of runs.jsonl; nothing for one that a killed study has left half written."""
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}

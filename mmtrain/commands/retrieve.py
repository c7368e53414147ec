"""`mmtrain retrieve RUN query=...`: the rows of a split that are nearest to a text or a file, or each row's class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mmtrain.arguments import parse
from mmtrain.data.tables.manifest import GivenRow
from mmtrain.errors import ConfigError
from mmtrain.offers import Comparing
from mmtrain.record import write_table
from mmtrain.report import say
from mmtrain.similarity import nearest
from mmtrain.suggest import did_you_mean
from mmtrain.trained import TrainedRun, open_run, prediction_source

_SAME = 1 - 1e-5  # cosine of vectors that nothing tells apart
OPTIONS = {
    "query": "what to look for: a text, or the path of a media file",
    "classes": "in place of query, class names such as cat,dog: each row gets the one that is nearest to it",
    "template": "with classes: a text in which {} stands for the name, such as 'a picture of a {}'",
    "modality": "that of the query or of the class names; text where the run has one, else the first",
    "to": "the modality to look among; the first other one where it is not given",
    "split": "train, val or test; test where it is not given",
    "top": "how many rows to list; 5 where it is not given",
    "output": "with classes: a .csv or .jsonl file; predictions/classes.csv in the run where it is not given",
    "checkpoint": "best (by validation; the default), last, or the number of a step that was kept",
    "device": "auto, cpu, cuda, cuda:1 or mps; the run's own where it is not given",
    "on_bad_sample": "error or skip (list it) at a cell that cannot be read; the run's own where it is not given",
    "dataset.path": "the table, where it lies elsewhere now",
    "dataset.data_root": "the folder of the media files, where they lie elsewhere now",
    "output_dir": "where `last` is looked up; outputs where it is not given",
}


def run(arguments: list[str]) -> None:
    """Looks for the nearest rows."""
    given = parse("retrieve", arguments, positional=("run",), options=OPTIONS)
    if ("query" in given) == ("classes" in given):
        raise ConfigError("retrieve needs query=... or classes=..., one of them: mmtrain retrieve RUN query='a cat'")
    top = given.get("top", "5")
    if not top.isdecimal() or not int(top):
        raise ConfigError(f"`top={top}`: expected a number of rows, at least 1.")
    trained = open_run(given)
    by, to = _modalities(trained, given)
    names = [name.strip() for name in given["classes"].split(",")] if "classes" in given else []
    if not all(names) or len(set(names)) < len(names):
        raise ConfigError(f"`classes={given['classes']}`: expected distinct names, separated by commas.")
    template = given.get("template", "{}")
    if "{}" not in template:
        raise ConfigError(f"`template={template}`: expected a text with {{}} in the place of the name.")
    asked = [template.replace("{}", name) for name in names] or [given["query"]]
    queries = _vectors(trained, by, asked)
    _require_told_apart(asked, queries)
    source, split = trained.source(), given.get("split", "test")
    results, _ = trained.results(source, split)
    assert isinstance(trained.task, Comparing)
    gallery = trained.task.vectors(results)[to]
    row_of = {name: row for row, name in enumerate(source.ids)}
    if names:
        # Also labels that the run was not taught, and those of classes that no training row has.
        labels = {
            target: [source.target(row_of[one], target) or "" for one in results.ids] for target in source.targets
        }
        truth = {target: column for target, column in labels.items() if not set(names).isdisjoint(column)}
        output = Path(given.get("output", trained.folder / "predictions" / "classes.csv"))
        _classify(names, queries, gallery, results.ids, truth, output)
        return
    for rank, (place, cosine) in enumerate(nearest(queries, gallery, count=int(top))[0], 1):
        identity = results.ids[place]
        say(f"{rank}  {cosine:+.3f}  {identity}  {source.place(row_of[identity], to)}")


def _modalities(trained: TrainedRun, given: dict[str, str]) -> tuple[str, str]:
    """That of the query, and that to look among."""
    if not isinstance(trained.task, Comparing):
        raise ConfigError(f"{trained.folder} was not trained to retrieve; train with task=retrieval fusion=none.")
    names = list(trained.kinds)
    texts = [name for name, kind in trained.kinds.items() if kind == "text"]
    by = given.get("modality", [*texts, *names][0])
    to = given.get("to", next((name for name in names if name != by), ""))
    for key, name in (("modality", by), ("to", to)):
        if name not in names:
            raise ConfigError(f"`{key}={name}`: the run has {', '.join(names)}.{did_you_mean(name, names)}")
    if "classes" in given and trained.kinds[by] != "text":
        raise ConfigError(f"`classes` are words, and `{by}` is {trained.kinds[by]}; name a text as `modality`.")
    return by, to


def _vectors(trained: TrainedRun, name: str, cells: Sequence[str]) -> np.ndarray:
    """Texts, or paths of files, as the run's vectors of a modality: [Q,E]."""
    rows: list[GivenRow] = [{name: cell} for cell in cells]
    root = Path()
    if trained.kinds[name] != "text":
        path = Path(cells[0])
        if not path.is_file():
            raise ConfigError(f"`query={path}`: no such file; `{name}` is {trained.kinds[name]}.")
        root, rows = path.parent, [{name: path.name}]
    source = prediction_source(trained, rows, root)
    results, _ = trained.results(source, "predict")
    assert isinstance(trained.task, Comparing)
    return trained.task.vectors(results)[name]


def _require_told_apart(asked: Sequence[str], queries: np.ndarray) -> None:
    """Raises a ConfigError where a question is empty, or two are the same to the run: no answer would mean a thing."""
    if np.isnan(queries).any():
        raise ConfigError("the query is empty; write what to look for: query='a cat'")
    for place, found in enumerate(nearest(queries, queries, count=len(asked))):
        same = next((other for other, cosine in found if other != place and cosine >= _SAME), None)
        if same is not None:
            raise ConfigError(
                f"'{asked[place]}' and '{asked[same]}' are the same to the run, as where it knows no word of either; "
                "choose other `classes`."
            )


def _classify(
    names: Sequence[str],
    queries: np.ndarray,
    gallery: np.ndarray,
    ids: Sequence[str],
    truth: Mapping[str, Sequence[str]],
    output: Path,
) -> None:
    """Gives each row the nearest class, and counts."""
    found = [best[0] if best else (-1, float("nan")) for best in nearest(gallery, queries, count=1)]
    said = [names[place] if place >= 0 else "" for place, _ in found]
    for name, count in Counter(said).most_common():
        say(f"{name or '(lacks the modality)'}: {count:,} rows")
    for target, labels in truth.items():
        known = [(label, one) for label, one in zip(labels, said, strict=True) if label in names and one]
        if known:
            right = sum(label == one for label, one in known) / len(known)
            told = f"accuracy {right:.4g} on {len(known):,} rows whose `{target}` is one of these"
            say(f"{told}; chance {1 / len(names):.3g}")
    write_table(output, {"id": ids, **truth, "prediction": said, "cosine": [cosine for _, cosine in found]})
    say(f"{len(said):,} rows: {output}")

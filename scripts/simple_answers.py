"""What simple methods answer on the test rows of a run: is its score worth the training?

    python scripts/simple_answers.py outputs/tags/<run of seed 0> outputs/tags/<run of seed 1> ...

For task=tagging: logistic regression, one a tag, on the words of all texts and the colours of all pictures, its
strength chosen on the validation rows. For task=captioning: the caption of the nearest training picture, by pixels.
For task=classification: how common each class is among the training rows, so the commonest one.
Rows and splits are those of the run, scores those of its task. The difference is paired by seed and test row as in
`mmtrain study`; one run alone gives no interval.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import StandardScaler

import mmtrain
from mmtrain.build import build_data
from mmtrain.contracts import Results, Rows
from mmtrain.protocols import DataSource
from mmtrain.rows import taken, taken_targets
from mmtrain.significance import Scores, blocks, compare, pseudo_values
from mmtrain.target import Target
from mmtrain.tasks.captioning import Captioning
from mmtrain.tasks.classification import Classification
from mmtrain.tasks.tagging import Tagging
from mmtrain.trained import TrainedRun

Floats = NDArray[np.float64]
STRENGTHS = (0.1, 1.0, 10.0, 100.0)  # C of the logistic regression
LEVELS = 4  # of each of red, green and blue
SIDE = 16  # pixels of the pictures that are compared


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("runs", nargs="+", help="folders of runs of one command with different seeds")
    tables: dict[str, list[Floats]] = {"run": [], "simple": []}
    for folder in parser.parse_args(words).runs:
        run = mmtrain.load(folder)
        source = run.source()
        results, _ = run.results(source, "test")
        units = blocks(results.ids)
        for name, found in (("run", results), ("simple", results._replace(outputs=answers(run, source, results)))):
            tables[name].append(values(run, found, units))
            print(f"{folder}  {name:6}  {run.task.metric} {score(run, found, range(len(found.ids))):.4f}")
    if len(tables["run"]) > 1:
        ours, theirs = (Scores(np.mean(table, axis=1), np.array(table)) for table in tables.values())
        found = compare({"": (ours, theirs)}, higher_is_better=run.task.higher_is_better)[""]
        print(f"difference {found.difference:+.4f} ± {found.half_width:.4f}, p {found.p:.4f}: it {found.verdict}")
    return 0


def values(run: TrainedRun, results: Results, units: Sequence[Sequence[int]]) -> Floats:
    """What each unit of test rows adds to the score, [U]."""
    return pseudo_values(lambda rows: score(run, results, rows), units)


def score(run: TrainedRun, results: Results, rows: Sequence[int]) -> float:
    """The metric of the task on some rows."""
    part = results._replace(
        ids=[results.ids[row] for row in rows],
        outputs=taken(results.outputs, rows),
        targets={name: taken_targets(target, rows) for name, target in results.targets.items()},
    )
    return run.task.metrics(part)[run.task.metric]


def answers(run: TrainedRun, source: DataSource, results: Results) -> Rows:
    """What a simple method answers on the test rows, as the task collects it."""
    place = {identity: row for row, identity in enumerate(source.ids)}
    test, (target,) = [place[identity] for identity in results.ids], run.task.targets
    reader = build_data(run.config, source, run.spec).targets[target]
    known: dict[str, dict[int, Target]] = {"train": {}, "val": {}}
    for split, targets in known.items():
        for row in source.splits[split]:
            cell = source.target(row, target)
            try:
                targets |= {} if cell is None else {row: reader.encode(cell)}
            except ValueError:
                continue  # the run has told of it
    if isinstance(run.task, Captioning):
        near = nearest(pixels(run, source, list(known["train"])), pixels(run, source, test))
        captions = [found.references[0][0] for found in known["train"].values()]
        return {"text": [captions[one] for one in near], "log_probability": torch.zeros(len(near))}
    if isinstance(run.task, Classification):
        counts = torch.tensor(run.spec.target(target).counts, dtype=torch.float32)
        return counts.log().expand(len(test), -1)  # [N,K]
    if not isinstance(run.task, Tagging):
        raise SystemExit("simple answers are known to task=tagging, task=captioning and task=classification")
    truth = [torch.cat([one.tensor for one in targets.values()]).numpy() for targets in known.values()]
    return torch.from_numpy(logits(truth, described(run, source, [*map(list, known.values()), test]))).float()


def logits(truth: Sequence[Floats], features: Sequence[Floats]) -> Floats:
    """Of each tag in each test row, [N,K], from truth [N,K] of train and val and features [N,F] of all three."""
    best, chosen = -1.0, np.zeros(0)
    for strength in STRENGTHS:
        models = [LogisticRegression(C=strength, max_iter=1000).fit(features[0], tag) for tag in truth[0].T]
        found = [np.stack([model.decision_function(some) for model in models], axis=1) for some in features[1:]]
        having = truth[1].any(axis=0)
        value = average_precision_score(truth[1][:, having], found[0][:, having], average="macro")
        if value > best:
            best, chosen = value, found[1]
    return chosen


def described(run: TrainedRun, source: DataSource, rows: Sequence[Sequence[int]]) -> list[Floats]:
    """Words and colours of the rows of train, val and test: [N,F] each."""
    parts: list[list[Floats]] = []
    for name, kind in run.kinds.items():
        if kind == "text":
            words = TfidfVectorizer(sublinear_tf=True)
            texts = [[str(source.cell(row, name) or "") for row in some] for some in rows]
            words.fit(texts[0])
            parts.append([words.transform(some).toarray() for some in texts])
        elif kind == "image":
            found = [np.array([colours(picture(source, row, name)) for row in some]) for some in rows]
            scale = StandardScaler().fit(found[0])
            parts.append([scale.transform(some) / LEVELS**1.5 for some in found])  # as long as a text
    return [np.concatenate(part, axis=1) for part in zip(*parts, strict=True)]


def colours(image: Image.Image) -> Floats:
    """The square root of the share of each of 64 colours: [64]."""
    levels = np.asarray(image).reshape(-1, 3) // (256 // LEVELS)
    counts = np.bincount(levels @ [LEVELS**2, LEVELS, 1], minlength=LEVELS**3)
    return np.sqrt(counts / counts.sum())


def pixels(run: TrainedRun, source: DataSource, rows: Sequence[int]) -> Floats:
    """All pictures of each row, made small: [N,P]."""
    names = [name for name, kind in run.kinds.items() if kind == "image"]
    small = [[picture(source, row, name).resize((SIDE, SIDE), Image.Resampling.BOX) for name in names] for row in rows]
    return np.array([np.concatenate([np.asarray(one).ravel() for one in several]) for several in small]) / 255


def nearest(train: Floats, test: Floats) -> list[int]:
    """The row of train [N,P] that each of test [n,P] differs least from, in squares."""
    differences = (train**2).sum(axis=1) - 2 * test @ train.T  # [n,N], less what all of a row have in common
    return differences.argmin(axis=1).tolist()


def picture(source: DataSource, row: int, name: str) -> Image.Image:
    """On white where it is transparent, and white where there is none."""
    cell = source.cell(row, name)
    if not isinstance(cell, bytes):
        return Image.new("RGB", (SIDE, SIDE), "white")
    image = Image.open(io.BytesIO(cell)).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


if __name__ == "__main__":
    raise SystemExit(main())

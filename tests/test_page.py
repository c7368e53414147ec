"""The page of a run: its numbers are those of metrics.jsonl, and no name in the data can become markup."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from importlib import metadata
from pathlib import Path

import pytest
import torch

from mmtrain import breakdown, compose, page, training
from mmtrain.charts import RIGHT, WIDTH, Dot, Group, dot_chart, line_chart, thinned, ticks
from mmtrain.contracts import Results
from mmtrain.data.dataset import Data
from mmtrain.target import Target
from mmtrain.tasks.classification import Classification
from tests import tiny

HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "猫と犬")


class Reading(HTMLParser):
    """The text of a page and the tags it consists of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != ["style"]:
            self.text += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run."""
    return tiny.train(tmp_path_factory.mktemp("page"))


def read(folder: Path) -> Reading:
    return Reading((folder / "report.html").read_text(encoding="utf-8"))


def test_the_headline_and_scores_are_those_of_metrics_jsonl(run: Path) -> None:
    """Metric with its error, rows and best step on top; every metric of test, and of val at the best step, below."""
    rows = tiny.rows(run)
    final = next(row for row in rows if row.get("split") == "test")
    best_step = rows[-1]["best_step"]
    best = next(row for row in rows if row.get("split") == "val" and row["step"] == best_step)
    text = re.sub(r"\s+", " ", read(run).text)

    assert f"accuracy {final['accuracy']:.3f} ± {final['accuracy_se']:.3f}" in text
    assert f"on the 72 rows of test, with the weights of step {best_step} of 8" in text
    for name in ("loss", "macro_f1", "calibration_error"):
        assert f"{name.replace('_', ' ')}{final[name]:.3f}{best[name]:.3f}" in text


def test_the_curves_of_a_task_are_drawn(tmp_path: Path) -> None:
    """Of false accepts and rejects, where some classes are no command; elsewhere there is no such part."""
    folder = tiny.train(tmp_path, "modalities=[text]", "trainer.epochs=1", 'task.rejected=["1","2"]')

    assert "false rejects (%) by false accepts (%)" in read(folder).text
    assert "equal error rate" in read(folder).text


def test_every_measured_number_is_on_a_curve(run: Path) -> None:
    """The curves have a point for each logged step and each evaluation on val."""
    rows = tiny.rows(run)
    html = (run / "report.html").read_text(encoding="utf-8")
    points = [len(path.split()) for path in re.findall(r'polyline points="([^"]*)"', html)]
    train = sum(row["kind"] == "train" for row in rows)
    val = sum(row.get("split") == "val" for row in rows)

    assert points == [train, val, val]


def test_data_model_ceilings_and_environment_are_shown(run: Path) -> None:
    text = re.sub(r"\s+", " ", read(run).text)

    assert "mmtrain" in text
    assert "train720.0%0.0%0.0%" in text  # 72 rows, then the shares that lack a modality
    assert "text+image+audio1.000" in text
    assert "image+audio0.583" in text
    assert f"torch{metadata.version('torch')}" in text
    assert "encoder image" in text


def test_the_page_needs_nothing_else(run: Path) -> None:
    """No script, no link; pictures and sounds are in the page itself, and its own policy forbids others."""
    found = read(run)
    html = (run / "report.html").read_text(encoding="utf-8")

    assert {"script", "link", "iframe", "object", "use", "a"}.isdisjoint(found.tags)
    assert "href" not in found.attributes
    assert set(re.findall(r'src="(data:[a-z/]+);base64,', html)) == {"data:image/png", "data:audio/wav"}
    assert html.count('src="') == html.count('src="data:')
    assert "url(" not in html
    assert "http:" not in html
    assert "https:" not in html
    assert "default-src 'none'" in html


def test_the_confusion_counts_every_test_row(run: Path) -> None:
    html = (run / "report.html").read_text(encoding="utf-8")
    matrix = html.split('<table class="matrix')[1].split("</table>")[0]
    counts = [int(count) for count in re.findall(r"<td[^>]*>(\d+)</td>", matrix)]

    assert len(counts) == 36
    assert sum(counts) == 72


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A trained table whose class names are markup, template syntax and Chinese."""
    folder = tmp_path_factory.mktemp("hostile")
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "split"])
        for split in ("train", "val", "test"):
            writer.writerows([f"word{number}", name, split] for number, name in enumerate(HOSTILE * 2))
    given = [
        "dataset=table",
        f"dataset.path={folder / 'rows.csv'}",
        f"output_dir={folder}/outputs",
        "modalities=[text]",
        "encoder/text=bag_of_words",
        "trainer.tensorboard=false",
        "trainer.epochs=1",
        "trainer.batch_size=4",
        "width=8",
        "num_threads=1",
    ]
    config = compose.compose(given)
    return training.start(config, ["name=<b>bold</b>"]), config


def test_hostile_names_are_text(hostile: tuple[Path, dict[str, object]]) -> None:
    """Every class name, and the command, can be read as it was written, and adds no tag."""
    found = read(hostile[0])

    assert all(name in found.text for name in HOSTILE)
    assert "<b>bold</b>" in found.text
    assert {"script", "img", "b"}.isdisjoint(found.tags)  # the rows have texts only


def test_a_task_without_confusion_and_a_run_without_ceilings_have_a_page(
    hostile: tuple[Path, dict[str, object]], tmp_path: Path
) -> None:
    """Nor is anything missed where files of the run folder are gone."""
    from mmtrain.build import build

    class Plain(Classification):
        confusion = None  # type: ignore[assignment]

    data = build(hostile[1]).data
    made = write(tmp_path, data, Plain(data.spec), split="val")

    assert "Confusion" not in Reading(made.read_text(encoding="utf-8")).text
    assert "What is possible" not in Reading(made.read_text(encoding="utf-8")).text


def test_many_classes_are_listed_by_mistake(
    hostile: tuple[Path, dict[str, object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rows of the first class, one of them taken for the last: one mistake, half of its class."""
    from mmtrain.build import build

    data = build(hostile[1]).data
    monkeypatch.setattr(breakdown, "MOST_CLASSES", 3)
    made = write(tmp_path, data, Classification(data.spec), split="val", truth=[0, 0], predicted=[0, 3])
    text = Reading(made.read_text(encoding="utf-8")).text

    first, last = data.spec.targets["label"].classes[0], data.spec.targets["label"].classes[3]
    assert f"{first}{last}150.0%" in text


def write(
    folder: Path,
    data: Data,
    task: Classification,
    *,
    split: str,
    truth: Sequence[int] = (0,),
    predicted: Sequence[int] = (0,),
) -> Path:
    """The page of a run that has made one evaluation and nothing else."""
    row = '{"kind": "evaluation", "step": 1, "split": "val", "rows": 2, "loss": null, "accuracy": 0.5}\n'
    (folder / "metrics.jsonl").write_text(row, encoding="utf-8")
    values = torch.tensor(truth)
    target = Target(values, torch.ones(len(values), dtype=torch.bool))
    outputs = torch.nn.functional.one_hot(torch.tensor(predicted), 4).float()
    ids = [data.source.ids[row] for row in data.source.splits[split]][: len(values)]
    results = Results(ids, outputs, {"label": target}, float("nan"))
    return page.write(folder, data=data, task=task, results=results, parameters={}, split=split, best_step=1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 1.0], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        ([0.13, 0.31], [0.1, 0.15, 0.2, 0.25, 0.3, 0.35]),
        ([2.0, 2.0], [2.0, 4.0]),
        ([0.0], [0.0, 1.0]),
    ],
)
def test_ticks_are_round_and_enclose_the_values(values: list[float], expected: list[float]) -> None:
    assert ticks(values) == expected


def test_ticks_of_steps_are_whole() -> None:
    assert ticks([0, 2], whole=True) == [0, 1, 2]


def test_a_long_curve_is_thinned_to_means() -> None:
    """Five points in groups of at most two of three: means of (0, 1), (2, 3) and 4."""
    assert thinned([(0, 0), (1, 2), (2, 4), (3, 6), (4, 8)], most=3) == [(0.5, 1), (2.5, 5), (4, 8)]


def test_the_axis_of_a_plot_of_dots_ends_with_its_values() -> None:
    """Up to .99 and half an interval it ends at .995, not at the next round number; that is its right edge."""
    made = dot_chart([Group("a", [Dot("", 0.1, 0.05, 0.15), Dot("", 0.99, 0.985, 0.995)], 0.9)])

    assert [tick.label for tick in made.x_ticks] == ["0", "0.2", "0.4", "0.6", "0.8"]
    assert made.lanes[0].dots[1][4] == WIDTH - 2 * RIGHT


def test_a_plot_of_one_value_has_an_axis() -> None:
    (lane,) = dot_chart([Group("a", [Dot("", 0.5, 0.5, 0.5)], None)]).lanes

    assert 0 <= lane.dots[0][2] <= WIDTH


def test_a_chart_without_points_is_none() -> None:
    assert line_chart({"val": []}) is None


@pytest.fixture(scope="module")
def patchy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained table of which every second row lacks its text."""
    folder = tmp_path_factory.mktemp("patchy")
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "number", "label", "split"])
        for split in ("train", "val", "test"):
            writer.writerows([["", "word"][n % 2], n, ["odd", "even"][n % 3 == 0], split] for n in range(24))
    given = [
        *("dataset=table", f"dataset.path={folder / 'rows.csv'}", "dataset.columns={tabular: [number]}"),
        *(f"output_dir={folder}/outputs", "modalities=[text,tabular]", "encoder/text=bag_of_words"),
        *("trainer.tensorboard=false", "trainer.epochs=1", "trainer.batch_size=8", "width=8", "num_threads=1"),
    ]
    return training.start(compose.compose(given))


def test_scores_are_told_by_class_by_confidence_and_by_what_the_rows_have(patchy: Path) -> None:
    """12 of the 24 test rows have both; 8 are even and 16 odd; the bins hold every row once."""
    html = (patchy / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", read(patchy).text)
    rows = {name: re.findall(rf"<bdi>{re.escape(name)}</bdi></th><td>(\d+)</td>", html) for name in ("odd", "even")}
    bins = html.split("<h2>Calibration")[1].split("</table>")[0]

    assert "text+tabular12" in text
    assert " tabular12" in text
    assert (rows["odd"][0], rows["even"][0]) == ("16", "8")
    assert sum(int(count) for count in re.findall(r"<td>(\d+)</td></tr>", bins)) == 24


def test_examples_and_the_most_confident_mistakes_are_shown(patchy: Path) -> None:
    """Six rows at equal distances; the mistakes with the highest probability of a wrong class, the highest first."""
    with (patchy / "predictions" / "test.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wrong = sorted((row for row in rows if row["prediction"] != row["label"]), key=lambda r: -float(r["probability"]))
    html = (patchy / "report.html").read_text(encoding="utf-8")
    worst, examples = html.split("<h2>Worst mistakes")[1].split("<h2>Examples")
    shown = [re.findall(r'<p class="quiet"><bdi>([^<]*)</bdi></p>\s*</article>', part) for part in (worst, examples)]

    assert shown[0] == [row["id"] for row in wrong[:6]]
    assert shown[1] == [rows[place]["id"] for place in (0, 4, 8, 12, 16, 20)]

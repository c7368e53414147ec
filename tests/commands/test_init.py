"""`init` looks at a table, shows what it found, and writes a config that trains."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmtrain import compose
from mmtrain.check import faults
from mmtrain.cli import main

Told = tuple[int, str, str]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """A working folder with the pictures `img/0.png` to `img/9.png`."""
    (tmp_path / "img").mkdir()
    for number in range(10):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "img" / f"{number}.png")
    with contextlib.chdir(tmp_path):
        yield tmp_path


@pytest.fixture
def mmtrain(capsys: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    def run(*line: str) -> Told:
        code = main(line)
        return code, *capsys.readouterr()

    return run


def write(name: str, **columns: Callable[[int], str]) -> None:
    """A table of 60 rows; a column is given as a function of the row's number."""
    rows = [",".join(make(row) for make in columns.values()) for row in range(60)]
    Path(name).write_text("\n".join([",".join(columns), *rows, ""]), encoding="utf-8")


PETS = {
    "id": lambda row: f"p{row}",
    "photo": lambda row: f"img/{row % 10}.png",
    "my note": lambda row: f"it is the animal number {row}",
    "weight": lambda row: str(row * 0.7),
    "breed": lambda row: f"breed {row % 4}",
    "colour": lambda row: "red" if row % 3 else "",
    "kind": lambda row: "" if row == 7 else ["cat", "dog"][row % 2],
}


def test_a_config_is_proposed_with_its_evidence(here, mmtrain):
    """Files and texts are used, numbers and categories proposed, ids are not, what tells the label is left out."""
    write("pets.csv", **PETS)
    code, out, _ = mmtrain("init", "pets.csv", "target=kind", "out=mine/dataset/pets.yaml")
    assert code == 0
    for row in (
        r"id +id +an id by its name",
        r"photo +image +10 of 10 cells tried name files \(PNG\)",
        r"my note +text +6\.0 words",
        r"weight +tabular, proposed +numbers; 60 distinct",
        r"breed +left out: suspected leak +it tells `kind` in 100\.0% of held-out rows",
        r"colour +not used",
        r"kind +target: class +categories; 2 distinct, 1 blank",
        r"1 rows have no `kind`",
        r"next: mmtrain check --config-dir mine dataset=pets",
    ):
        assert re.search(row, out), row

    assert faults(["dataset=pets"], Path("mine")) == []
    config = compose.compose(["dataset=pets"], Path("mine"))
    assert config["task"]["_target_"] == "mmtrain.tasks.classification.Classification"
    dataset = config["dataset"]
    assert dataset["kinds"] == {"photo": "image", "my_note": "text"}
    assert dataset["columns"] == {"my_note": ["my note"]}
    assert (dataset["path"], dataset["target"], dataset["on_blank_target"]) == ("pets.csv", "kind", "drop")


def test_what_is_commented_out_is_used_by_taking_the_mark_away(here, mmtrain):
    """The tabular columns and a suspected leak."""
    write("pets.csv", **PETS)
    mmtrain("init", "pets.csv", "target=kind", "out=mine/dataset/pets.yaml")
    file = Path("mine/dataset/pets.yaml")
    file.write_text(re.sub(r"^    # ", "    ", file.read_text(encoding="utf-8"), flags=re.MULTILINE), encoding="utf-8")
    dataset = compose.compose(["dataset=pets"], Path("mine"))["dataset"]
    assert dataset["kinds"] == {"photo": "image", "my_note": "text", "tabular": "tabular", "breed": "tabular"}
    assert dataset["columns"] == {"my_note": ["my note"], "tabular": ["weight"]}


def test_columns_that_divide_the_rows_are_proposed(here, mmtrain):
    """Folds are used, people are kept together, and a split without train rows is told and mapped."""
    write("a.csv", **PETS, fold=lambda row: str(row % 5), speaker=lambda row: f"s{row % 6}")
    mmtrain("init", "a.csv", "target=kind", "out=mine/dataset/a.yaml")
    dataset = compose.compose(["dataset=a"], Path("mine"))["dataset"]
    assert (dataset["fold_column"], dataset["group"]) == ("fold", "speaker")

    write("b.csv", **PETS, split=lambda row: ["dev", "test"][row % 2])
    _, out, _ = mmtrain("init", "b.csv", "target=kind", "out=mine/dataset/b.yaml")
    assert "no row is called train, so 'dev' is taken for it: `split_names: {dev: train}`" in out
    assert compose.compose(["dataset=b"], Path("mine"))["dataset"]["split_names"] == {"dev": "train"}


def test_tags_and_numbers_choose_their_task(here, mmtrain):
    """With what divides the tags of a cell."""
    write("t.csv", **PETS, tags=lambda row: f"a{row % 5};b{row % 7}")
    _, out, _ = mmtrain("init", "t.csv", "target=tags", "out=mine/dataset/t.yaml")
    assert "task: tagging" in out
    task = compose.compose(["dataset=t"], Path("mine"))["task"]
    assert (task["_target_"], task["separator"]) == ("mmtrain.tasks.tagging.Tagging", ";")
    assert "task: regression" in mmtrain("init", "t.csv", "target=weight")[1]


def test_words_that_yaml_would_take_for_something_else_stay_words(here, mmtrain):
    """Columns called `yes`, `012` and `1e5` are these columns."""
    write("t.csv", **{"yes": PETS["my note"], "012": PETS["photo"], "1e5": PETS["weight"], "no": PETS["kind"]})
    mmtrain("init", "t.csv", "target=no", "out=mine/dataset/t.yaml")
    dataset = compose.compose(["dataset=t"], Path("mine"))["dataset"]
    assert (dataset["kinds"], dataset["target"]) == ({"yes": "text", "012": "image"}, "no")


def test_numbers_are_used_where_there_is_nothing_else(here, mmtrain):
    write("t.csv", weight=PETS["weight"], size=lambda row: str(row % 7), kind=PETS["kind"])
    mmtrain("init", "t.csv", "target=kind", "out=mine/dataset/t.yaml")
    dataset = compose.compose(["dataset=t"], Path("mine"))["dataset"]
    assert (dataset["kinds"], dataset["columns"]) == ({"tabular": "tabular"}, {"tabular": ["weight", "size"]})


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (["pets.csv"], 2, "`target` is missing: which column shall be learned? my note (60 distinct), weight (60"),
        (["pets.csv", "target=kin"], 3, "no column 'kin' (`target`)"),
        (["pets.csv", "target=id"], 3, "hardly one repeats: it looks like an id; choose another"),
        (["pets.csv", "target=kind", "out=pets.csv"], 2, "exists, and init never writes over a file"),
        (["pets.csv", "target=kind", "out=my pets.yaml"], 2, "try out=dataset/my_pets.yaml"),
        (["pets.csv", "target=kind", "out=mine/dataset/table.yaml"], 2, "dataset=table is one of mmtrain's own"),
        (["pets.csv", "target=kind", "data_root=gone"], 3, "no folder gone; check `data_root`"),
        (["gone.csv", "target=kind"], 3, "cannot read the table gone.csv"),
        (["pets.csv", "traget=kind"], 2, "Did you mean `target`?"),
    ],
)
def test_what_cannot_be_done_says_why(here, mmtrain, line, code, said):
    write("pets.csv", **PETS)
    found, _, err = mmtrain("init", *line)
    assert found == code
    assert said in err


def test_without_out_nothing_is_written(here, mmtrain):
    write("pets.csv", **PETS)
    code, out, _ = mmtrain("init", "pets.csv", "target=kind")
    assert (code, sorted(path.name for path in here.iterdir())) == (0, ["img", "pets.csv"])
    assert "nothing written" in out


def test_a_chinese_table_is_looked_at_checked_trained_and_predicted(here, mmtrain):
    """Column names, cells and labels stay as they are, all the way to the predictions."""
    write(
        "宠物.csv",
        图片=lambda row: f"img/{row % 10}.png",
        描述=lambda row: f"这只动物会{'汪汪叫' if row % 2 else '喵喵叫'}，它是第{row}只",
        类别=lambda row: ["猫", "狗"][row % 2],
    )
    code, out, _ = mmtrain("init", "宠物.csv", "target=类别", "out=mine/dataset/宠物.yaml")
    assert code == 0
    assert re.search(r"描述 +text ", out)
    tiny = [
        "--config-dir",
        "mine",
        "dataset=宠物",
        "encoder/text=bag_of_words",
        "reader.image.size=16",
        "num_threads=1",
    ]
    assert mmtrain("check", *tiny)[0] == 0
    assert mmtrain(*tiny, "debug=fast", "trainer.tensorboard=false")[0] == 0

    run = Path("outputs") / Path("outputs/last.txt").read_text(encoding="utf-8").strip()
    assert json.loads((run / "spec.json").read_text(encoding="utf-8"))["targets"]["类别"]["classes"] == ["狗", "猫"]
    Path("新.csv").write_text("描述\n会汪汪叫\n", encoding="utf-8")
    assert mmtrain("predict", "last", "input=新.csv", "output=答案.csv", "--config-dir", "mine")[0] == 0
    header, row = Path("答案.csv").read_text(encoding="utf-8").splitlines()
    assert header.split(",")[1] == "prediction"
    assert row.split(",")[1] in ("猫", "狗")

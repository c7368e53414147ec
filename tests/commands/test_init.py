"""`init` looks at a table, shows what it found, and writes a config that trains."""

from __future__ import annotations

import contextlib
import io
import json
import re
import tarfile
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmtrain import compose
from mmtrain.check import faults
from mmtrain.cli import main
from mmtrain.data.tables.table import TableSource

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
    assert task["min_count"] == 1

    write("u.csv", **PETS, tags=lambda row: f"a{row % 5};b{row % 7}" + (";rare" if row < 4 else ""))
    mmtrain("init", "u.csv", "target=tags", "out=mine/dataset/u.yaml")
    assert compose.compose(["dataset=u"], Path("mine"))["task"]["min_count"] == 5
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


def test_every_form_of_a_table_is_proposed_checked_and_read_as_init_wrote_it(here, mmtrain):
    """JSON lines, Parquet with the pictures inside, a saved Hugging Face dataset, class folders, shards, GB 18030."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pictures = [Path(f"img/{row % 10}.png").read_bytes() for row in range(60)]
    labels = [["cat", "dog"][row % 2] for row in range(60)]
    rows = [{"photo": f"img/{row % 10}.png", "label": labels[row]} for row in range(60)]
    Path("lines.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    table = pa.table({"photo": pictures, "label": labels})
    pq.write_table(table, "inside.parquet")
    Path("saved").mkdir()
    with pa.OSFile("saved/data.arrow", "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    Path("saved/state.json").write_text('{"_data_files": [{"filename": "data.arrow"}]}', encoding="utf-8")
    with tarfile.open("shard.tar", "w") as tar:
        for row in range(60):
            Path(f"folders/{labels[row]}").mkdir(parents=True, exist_ok=True)
            Path(f"folders/{labels[row]}/{row}.png").write_bytes(pictures[row])
            for name, content in ((f"{row}.png", pictures[row]), (f"{row}.cls", labels[row].encode())):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    chinese = "".join(f"img/{row % 10}.png,{'猫狗'[row % 2]}\n" for row in range(60))
    Path("中.csv").write_text(f"photo,label\n{chinese}", encoding="gb18030")

    for number, path in enumerate(("lines.jsonl", "inside.parquet", "saved", "shard.tar", "folders", "中.csv")):
        encoding = ["encoding=gb18030"] if path == "中.csv" else []
        code, out, err = mmtrain("init", path, *encoding, f"out=mine/dataset/t{number}.yaml")
        assert (code, err) == (0, "")
        assert re.search(
            r"  (photo|image) +image +(\d+ of \d+ cells tried name files|in the table itself) \(PNG\)", out
        )
        assert faults([f"dataset=t{number}"], Path("mine")) == []
        dataset = compose.compose([f"dataset=t{number}"], Path("mine"))["dataset"]
        del dataset["_target_"]
        source = TableSource(**dataset)
        assert list(source.kinds.values()) == ["image"]
        assert source.cell(1, *source.kinds) in pictures
        assert {source.target(row, "label") for row in (0, 59)} == ({"猫", "狗"} if encoding else {"cat", "dog"})


def test_lengths_of_sounds_and_texts_set_the_readers(here, mmtrain):
    """Of 60 sounds of 8 kHz all but three have 2 s, and texts have 100 words: more than a reader keeps by default."""
    for row in range(60):
        samples = np.zeros(8000 * (9 if row < 3 else 2), np.int16).tobytes()
        with wave.open(f"{row}.wav", "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(samples)
    write("t.csv", audio=lambda row: f"{row}.wav", text=lambda row: f"w{row} " * 100, label=PETS["breed"])
    code, out, _ = mmtrain("init", "t.csv", "out=mine/dataset/t.yaml")
    assert code == 0
    assert "`reader.audio.seconds: 2`: 95% of 60 sounds are within 2 s, the longest has 9.00 s" in out
    reader = compose.compose(["dataset=t"], Path("mine"))["reader"]
    assert (reader["audio"]["seconds"], reader["audio"]["sample_rate"]) == (2, 8000)
    assert reader["text"]["max_length"] == 100


def test_pictures_with_boxes_are_told_what_to_make_of_them(here, mmtrain):
    Path("annotations.json").write_text("{}", encoding="utf-8")
    for path in (".", "annotations.json"):
        code, _, err = mmtrain("init", path)
        assert code == 3
        assert "scripts/boxes_to_table.py" in err

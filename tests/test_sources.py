"""Whatever form the same rows come in, training sees the same data."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmtrain import compose, training
from mmtrain.cli import main
from mmtrain.errors import DataError
from tests.tiny import weights

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

TINY = (
    "dataset=table",
    "modalities=[image]",
    "encoder.image.channels=[4,8]",
    "reader.image.size=8",
    "fusion=none",
    "width=16",
    "trainer.batch_size=4",
    "trainer.epochs=1",
    "trainer.tensorboard=false",
    "determinism=strict",
    "num_threads=1",
)
ROWS = [
    (f"{split}/{label}/{number}.png", split, label, number)
    for split, numbers in (("test", range(2)), ("train", range(2, 6)), ("val", range(6, 8)))
    for label in ("cat", "dog")
    for number in numbers
]
"""Path, split, label and what the picture shows, sorted by path, as the folders are read."""


def png(number: int, label: str) -> bytes:
    buffer = io.BytesIO()
    values = np.random.default_rng([number, len(label), ord(label[0])]).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def folders(folder: Path) -> None:
    for path, _, label, number in ROWS:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(png(number, label))


def csv(folder: Path) -> None:
    folders(folder)
    lines = ["image,split,label", *(f"{path},{split},{label}" for path, split, label, _ in ROWS)]
    (folder / "t.csv").write_text("\n".join(lines))


def columns() -> pa.Table:
    images = pa.array([png(number, label) for _, _, label, number in ROWS])
    splits, labels = [[row[place] for row in ROWS] for place in (1, 2)]
    return pa.table({"image": images, "split": splits, "label": labels})


def parquet(folder: Path) -> None:
    pq.write_table(columns(), folder / "t.parquet", row_group_size=3)


def saved(folder: Path) -> None:
    table = columns()
    with pa.OSFile(str(folder / "0.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "0.arrow"}]}))


def shards(folder: Path) -> None:
    for split in ("test", "train", "val"):
        with tarfile.open(folder / f"{split}-0.tar", "w") as tar:
            for path, _, label, number in (row for row in ROWS if row[1] == split):
                for name, content in ((f"{path[:-4]}.cls", label.encode()), (path, png(number, label))):
                    entry = tarfile.TarInfo(name)
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))


FORMS: dict[str, tuple[Callable[[Path], None], str]] = {
    "csv": (csv, "t.csv"),
    "folders": (folders, "."),
    "parquet": (parquet, "t.parquet"),
    "saved": (saved, "."),
    "shards": (shards, "."),
}


def train(folder: Path, form: str, *overrides: str) -> Path:
    make, path = FORMS[form]
    (folder / form).mkdir()
    make(folder / form)
    line = [*TINY, f"dataset.path={folder}/{form}/{path}", f"output_dir={folder}/outputs", f"name={form}", *overrides]
    return training.start(compose.compose(line), line)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("plain"), "csv")


@pytest.mark.parametrize("form", [form for form in FORMS if form != "csv"])
def test_the_same_rows_in_any_form_train_equally(tmp_path, plain, form):
    """Equal to the bit, the predictions too; the ids are those of the form."""
    run = train(tmp_path, form)

    first, second = weights(plain, 4), weights(run, 4)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    answers = [
        [line.split(",", 1)[1] for line in (folder / "predictions/test.csv").read_text().splitlines()]
        for folder in (plain, run)
    ]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("form", ["parquet", "shards"])
def test_workers_read_the_same_from_inside_a_table(tmp_path, plain, form):
    run = train(tmp_path, form, "trainer.num_workers=2")

    first, second = weights(plain, 4), weights(run, 4)
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def test_a_resume_on_changed_shards_is_refused(tmp_path):
    run = train(tmp_path, "shards", "trainer.max_steps=2")
    with tarfile.open(tmp_path / "shards/val-0.tar", "a") as tar:
        tar.addfile(tarfile.TarInfo("val/dog/new.cls"))

    with pytest.raises(DataError, match="the data has changed"):
        training.resume(
            run, compose.compose([*TINY, f"dataset.path={tmp_path}/shards", f"output_dir={tmp_path}/outputs"])
        )


def test_new_rows_may_come_in_another_form_and_encoding(tmp_path, plain, capsys):
    """A model trained on a CSV table predicts a Parquet table, and a table in GB18030."""
    pq.write_table(columns(), tmp_path / "new.parquet")
    (tmp_path / "image").mkdir()
    (tmp_path / "image/喵喵叫.png").write_bytes(png(0, "cat"))
    (tmp_path / "new.csv").write_bytes("image\nimage/喵喵叫.png\n".encode("gb18030"))

    for table, *options in (["new.parquet"], ["new.csv", "encoding=gb18030"]):
        output = tmp_path / f"{table}.out.csv"
        assert main(["predict", str(plain), f"input={tmp_path / table}", f"output={output}", *options]) == 0
        assert output.read_text().startswith("id,")
    assert main(["predict", str(plain), f"input={tmp_path}/new.csv", f"output={tmp_path}/x.csv"]) == 3
    assert "gb18030 fits and reads 'image/喵喵叫.png' there" in capsys.readouterr().err

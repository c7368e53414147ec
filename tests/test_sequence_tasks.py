"""Speech to text from end to end: runs resume to the bit, verbs agree, rows without room or sound are told."""

from __future__ import annotations

import csv
import io
import wave
from pathlib import Path

import numpy as np
import pytest

from mmtrain import compose, training
from mmtrain.cli import main
from mmtrain.data.builtin.speech import speech, whistled
from mmtrain.record import read_rows
from mmtrain.trained import TrainedRun
from tests import tiny
from tests.test_resume import Killed, kill_after, resumed

TINY = (
    "experiment=speech_recognition",
    "dataset.train_rows=24",
    "dataset.val_rows=8",
    "dataset.test_rows=8",
    "encoder.audio.channels=[4]",
    "encoder.audio.hidden_size=8",
    "encoder.audio.num_layers=1",
    "width=16",
    "trainer.batch_size=8",
    "trainer.epochs=2",
    "trainer.save_every_steps=2",
    "trainer.tensorboard=false",
    "trainer.log_every_steps=1",
    "determinism=strict",
    "num_threads=1",
)
LAST = 6


def config(outputs: Path, *overrides: str) -> dict[str, object]:
    return compose.compose([*TINY, f"output_dir={outputs}/outputs", *overrides])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody stopped, with a beam."""
    return training.start(config(tmp_path_factory.mktemp("whole"), "task.beam_size=2"))


def test_it_resumes_to_the_bit(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        kill_after(patch, 5)
        with pytest.raises(Killed):
            training.start(config(tmp_path, "task.beam_size=2"))
    run = next((tmp_path / "outputs" / "speech_recognition").iterdir())

    tiny.assert_same_end(resumed(run), whole, LAST)


def test_evaluate_and_predict_agree_with_the_run(whole: Path, tmp_path: Path) -> None:
    """New files with the sounds of the test rows are written down as these were; a row without sound says nothing."""
    run, source = TrainedRun(whole), speech(train_rows=24, val_rows=8, test_rows=8)
    final = [row for row in read_rows(whole) if row["kind"] == "evaluation"][-1]
    scores = run.evaluate("test")
    assert scores == pytest.approx({name: final[name] for name in scores})
    assert {"wer", "cer", "exact_match"} == set(scores)

    for place, row in enumerate(source.splits["test"]):
        (tmp_path / f"{place}.wav").write_bytes(source.cell(row, "audio"))
    columns = run.predict([*({"audio": f"{place}.wav"} for place in range(8)), {"audio": ""}], data_root=tmp_path)
    with (whole / "predictions" / "test.csv").open(newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert columns["prediction"][:8] == [row["prediction"] for row in written]
    assert columns["log_probability"][:8] == pytest.approx([float(row["log_probability"]) for row in written], rel=1e-5)
    assert (columns["prediction"][8], columns["log_probability"][8]) == ("", 0.0)


def table(folder: Path, *, short: str = "ae") -> Path:
    """Six utterances, of which one lasts 30 ms: three frames, so two tokens, or three letters at most."""
    rows = [("a e", "train"), ("ae", "train"), (short, "train"), ("e a", "val"), ("a", "test"), ("e", "test")]
    for place, (text, _) in enumerate(rows):
        (folder / f"{place}.wav").write_bytes(whistled(text, np.random.RandomState(place)) if place != 2 else clip(120))
    lines = [f"{place}.wav,{text},{split}" for place, (text, split) in enumerate(rows)]
    (folder / "t.csv").write_text("\n".join(["audio,says,split", *lines]), encoding="utf-8")
    return folder / "t.csv"


def clip(samples: int) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(4000)
        file.writeframes(np.full(samples, 999, "<i2").tobytes())
    return buffer.getvalue()


def command(path: Path, *words: str) -> list[str]:
    own = [word for word in TINY if not word.startswith(("dataset.", "experiment", "trainer.save"))]
    chosen = ["task=speech_recognition", "encoder/audio=conv_gru", "fusion=none", "reader.audio.sample_rate=4000"]
    return [*chosen, *own, "dataset=table", "dataset.target=says", f"dataset.path={path}", *words]


def test_a_transcript_longer_than_its_sound_allows_is_named_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """ "aa" needs three tokens, for the blank between; 30 ms at 20 ms a token give two. "ae" fits."""
    path = table(tmp_path, short="aa")

    assert main(["check", *command(path)]) == 3
    told = capsys.readouterr().err
    assert "t.csv:4: its `says` needs 3 tokens of `audio`, which has 2. 1 such rows; correct them" in told
    assert main(["check", *command(path, "on_bad_sample=skip")]) == 0
    assert "note: 1 rows are too short to be learned from; " in capsys.readouterr().out
    assert main(["check", *command(table(tmp_path))]) == 0


def test_to_learn_from_no_row_at_all_is_an_error_even_where_rows_may_be_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All three training transcripts are far longer than their sounds; those of val and test fit."""
    path = table(tmp_path)
    lines = path.read_text(encoding="utf-8").splitlines()
    long = [line.replace(",a e,", f",{'ae' * 90},").replace(",ae,", f",{'ae' * 90},") for line in lines]
    path.write_text("\n".join(long), encoding="utf-8")

    assert main(["check", *command(path, "on_bad_sample=skip")]) == 3
    assert "No row of train has room; give the encoder of `audio` more" in capsys.readouterr().err


def test_a_character_that_training_lacks_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace("4.wav,a,", "4.wav,z,"), encoding="utf-8")

    assert main(["check", *command(path)]) == 3
    assert "t.csv:6: 'z' holds the character 'z', which no training row has" in capsys.readouterr().err


def test_words_that_are_never_written_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their rows are judged like all others, so they bound what can be reached: "z" of the fifth row."""
    path = table(tmp_path)
    path.write_text(path.read_text(encoding="utf-8").replace("4.wav,a,", "4.wav,a z,"), encoding="utf-8")

    assert main(["check", *command(path, "task.tokenizer=words")]) == 0
    told = f"note: 1 rows hold words of `says` outside its vocabulary, which are never written: {path}:6\n"
    assert told in capsys.readouterr().out


def test_sound_can_be_helped_by_other_modalities_in_one_of_several_tasks(tmp_path: Path) -> None:
    """A text beside the sound, cross-attention, a second task, and a row that lacks its sound."""
    path = table(tmp_path)
    lines = path.read_text(encoding="utf-8").splitlines()
    hints = ["text,label", "up,x", "down,y", "up,x", "down,y", "up,x", "up,y"]
    joined = "\n".join(f"{line},{hint}" for line, hint in zip(lines, hints, strict=True))
    path.write_text(joined.replace("5.wav,", ","), encoding="utf-8")
    words = command(path, "fusion=cross_attention", "task=multi_task", "+task@task.tasks.hear=speech_recognition")
    words = [word for word in words if word not in ("task=speech_recognition", "fusion=none", "dataset.target=says")]
    words += ["+task@task.tasks.what=classification", "task.tasks.hear.target=says", "task.tasks.what.target=label"]
    words += ["task.metric=hear_wer", "dataset.target=[says,label]", f"output_dir={tmp_path}/outputs"]

    assert main(words) == 0
    run = next((tmp_path / "outputs" / "train").iterdir())
    final = [row for row in read_rows(run) if row["kind"] == "evaluation"][-1]
    assert {"hear_wer", "hear_cer", "what_accuracy"} <= set(final)


def test_a_text_that_is_shown_cannot_be_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a mixed row there would be two texts to continue."""
    rows = [f"dataset.{split}_rows=8" for split in ("train", "val", "test")]
    words = ["experiment=image_captioning", *rows, "technique.mixing=mixup", f"output_dir={tmp_path}/outputs"]

    assert main(words) == 2
    assert "`technique.mixing`: Captioning is shown the text that it is to write" in capsys.readouterr().err

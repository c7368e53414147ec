"""Frozen encoders compute once, and nobody can tell from a run but by its time."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from mmtrain import compose, loop, training
from mmtrain.build import build
from mmtrain.contracts import DataSpec, Signal, SignalSpec, Tokens
from mmtrain.data import store
from mmtrain.data.cache import entries
from mmtrain.data.collate import Sample, collate
from mmtrain.data.encoded import EncodedRows, packed
from mmtrain.data.store import SAMPLES, Store
from mmtrain.device import choose
from mmtrain.encoders.bag_of_words import BagOfWords
from mmtrain.encoders.convnet import ConvNet
from mmtrain.errors import DataError, Stopped
from mmtrain.features import with_features
from mmtrain.interrupt import StopFlag
from mmtrain.peers import Peers
from mmtrain.run import Run
from tests import tiny
from tests.test_resume import Killed, kill_after, only_run, resumed

FROZEN = ("tuning.freeze={text: all, image: all}", "modalities=[text,image]")
PICTURES = ("tuning.freeze={image: all}", "modalities=[image]", "fusion=none")
SOUNDS = ("tuning.freeze={audio: all}", "modalities=[audio]", "fusion=none")
ROWS = 216


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every row that an encoder of text or pictures has seen."""
    seen: list[str] = []
    for kind in (BagOfWords, ConvNet):
        real = kind.forward

        def counted(self: torch.nn.Module, signal: Signal, real=real, kind=kind) -> Tokens:  # type: ignore[no-untyped-def]
            seen.extend([kind.__name__] * len(signal.mask))
            found: Tokens = real(self, signal)
            return found

        monkeypatch.setattr(kind, "forward", counted)
    return seen


def prepared(tmp_path: Path, *options: str) -> Run:
    """A run that is about to take its first step."""
    torch.manual_seed("seed=1" in options)
    parts = build(tiny.config(tmp_path, f"cache_dir={tmp_path}/cache", *options))
    settings = parts.settings
    compute = choose("cpu", settings.precision, num_threads=settings.num_threads, determinism="seeded")
    return training.prepare(parts, tmp_path, compute, Peers(), StopFlag(), resumed=False)


def features(cache: Path) -> list[str]:
    return sorted(entry.recipe.split(",")[0] for entry in entries(cache) if "features" in entry.recipe)


def test_a_frozen_encoder_sees_each_row_once_and_the_next_run_nothing(tmp_path: Path, calls: list[str]) -> None:
    """216 pictures, over two epochs, three evaluations and a test."""
    cache = tmp_path / "cache"

    tiny.train(tmp_path, *FROZEN, f"cache_dir={cache}")
    seen = calls.count("ConvNet")
    calls.clear()
    tiny.train(tmp_path, *FROZEN, f"cache_dir={cache}", "fusion=sum", "optimizer.lr=1e-2")

    assert seen == ROWS
    assert calls == []
    assert features(cache) == ["image features: ConvNet ", "text features: BagOfWords "]


def test_losses_are_those_of_a_run_that_encodes_each_time(tmp_path: Path) -> None:
    """Within 1e-5 of themselves: a batch rounds otherwise than a single row."""
    options = ("technique.modality_dropout=0.5", "fusion=attentive_pooling")
    kept = tiny.rows(tiny.train(tmp_path / "kept", *FROZEN, *options, f"cache_dir={tmp_path}/cache"))
    plain = tiny.rows(tiny.train(tmp_path / "plain", *FROZEN, *options, "cache_dir=null"))
    losses = [[row["loss"] for row in rows if "loss" in row] for rows in (kept, plain)]

    assert len(losses[0]) > 8
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_run_from_features_ends_the_same_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit: with the cache there, read by workers, and with a cache that was cleared and is filled anew."""
    cache = f"cache_dir={tmp_path}/cache"
    whole = tiny.train(tmp_path / "whole", *FROZEN, cache)
    for number in range(2):
        with monkeypatch.context() as patch:
            kill_after(patch, 5)
            with pytest.raises(Killed):
                tiny.train(tmp_path / str(number), *FROZEN, cache, "trainer.save_every_steps=3")
        if number:
            shutil.rmtree(tmp_path / "cache")
        folder = resumed(only_run(tmp_path / str(number)), *(["trainer.num_workers=2"] if number == 0 else []))
        ours, theirs = tiny.weights(folder, 8), tiny.weights(whole, 8)
        assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []


def test_features_do_not_depend_on_the_rows_beside(tmp_path: Path) -> None:
    """To the bit: in a cache that holds every other text already, and in an empty one; the texts differ in length."""
    options = ("tuning.freeze={text: all}", "modalities=[text]", "fusion=none", "encoder/text=transformer")
    runs = [prepared(tmp_path / name, *options) for name in ("whole", "half", "half")]
    rows = {split: rows[::2] for split, rows in runs[1].data.source.splits.items()}
    runs[1].data.source.splits = rows  # type: ignore[misc]
    found = [with_features(run).encoded["text"] for run in runs]

    for row in range(ROWS):
        one, other = found[0].tokens(row), found[2].tokens(row)
        assert one is not None
        assert other is not None
        assert torch.equal(one.values, other.values)


def test_clearing_the_cache_beside_a_run_takes_nothing_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    real = loop.rest

    def cleared(run: Run) -> None:
        if run.state.progress.step == 2:
            shutil.rmtree(tmp_path / "cache")
            calls.clear()
        real(run)

    monkeypatch.setattr(loop, "rest", cleared)
    tiny.train(tmp_path, *FROZEN, f"cache_dir={tmp_path}/cache")

    assert calls == []


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (("tuning.freeze={image: all}",), ["image"]),
        (("tuning.freeze={image: all}", "tuning.unfreeze_at={image: 3}"), []),
        (("tuning.freeze={image: 1}",), []),
        (("tuning.freeze={image: all}", "augment/image=trivial"), []),
        (("tuning.freeze={image: all}", "technique.mixing=mixup"), []),
        ((*SOUNDS, "reader.audio.window=random"), ["audio"]),
        ((*SOUNDS, "reader.audio.window=random", "reader.audio.seconds=0.3"), []),
    ],
    ids=["frozen", "thaws", "partly", "augmented", "mixed", "no longer than its window", "a window drawn"],
)
def test_what_changes_in_training_is_not_kept(tmp_path: Path, options: tuple[str, ...], kept: list[str]) -> None:
    assert list(with_features(prepared(tmp_path, *options)).encoded) == kept


@pytest.mark.parametrize("change", ["seed=1", "reader.image.mean=0.1", "precision=bf16"])
def test_whatever_acts_on_a_sample_has_features_of_its_own(tmp_path: Path, change: str) -> None:
    """Other first weights, another normalisation, other rounding."""
    for one in ((), (change,)):
        with_features(prepared(tmp_path, *PICTURES, *one))

    assert len(features(tmp_path / "cache")) == 2


def test_a_row_that_cannot_be_read_is_told_as_ever(tmp_path: Path) -> None:
    """With the file, and what to do; where such rows are left out, one is."""
    lines = ["image,label,split"]
    for number in range(12):
        Image.new("RGB", (8, 8), (20 * number, 0, 0)).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{'ab'[number % 2]},{'val' if number > 7 else 'train'}")
    (tmp_path / "data.csv").write_text("\n".join(lines))
    (tmp_path / "3.png").write_bytes(b"no picture")
    table = ("dataset=table", f"dataset.path={tmp_path}/data.csv", "fusion=none", "tuning.freeze={image: all}")
    small = ("trainer.batch_size=4", "trainer.epochs=1", "trainer.tensorboard=false", f"output_dir={tmp_path}/outputs")
    words = (*table, *small, f"cache_dir={tmp_path}/cache")

    with pytest.raises(DataError, match=r"data\.csv:5 \(3\.png\).*on_bad_sample=skip"):
        training.start(compose.compose(words))
    run = training.start(compose.compose([*words, "on_bad_sample=skip", "max_bad_fraction=0.5"]))

    assert (run / "train.log").read_text().count("3.png") == 1


def test_a_stop_while_encoding_keeps_what_was_done(tmp_path: Path) -> None:
    """One round of 64 rows."""
    run = prepared(tmp_path, *PICTURES)
    run.stop.number = signal.SIGTERM

    with pytest.raises(Stopped, match="start the same command again"):
        with_features(run)

    assert len(Store(next((tmp_path / "cache").glob("features-*")), "")) == 64


def test_where_the_disk_is_full_a_run_encodes_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(store, "RESERVE", 2**80)

    assert with_features(prepared(tmp_path, *PICTURES)).encoded == {}
    assert "they are computed in every epoch" in capsys.readouterr().out


def kept(folder: Path, values: list[list[float]], mask: list[bool], positions: Tensor | None = None) -> EncodedRows:
    there = Store(folder, "")
    tokens = Tokens(torch.tensor([values]), torch.tensor([mask]), positions)
    there.put(b"k" * 16, packed(tokens, 0))
    return EncodedRows(there, {1: b"k" * 16}, width=2, faults={2: "x.csv:4: torn"})


def test_tokens_come_back_less_the_padding_at_their_end(tmp_path: Path) -> None:
    """Three tokens of which the second is not real, and one of padding; row 0 lacks the modality, row 2 is torn."""
    positions = torch.tensor([[[0.5, torch.nan, 0.0]] * 4])
    rows = kept(tmp_path / "a", [[1, 2], [3, 4], [5, 6], [7, 8]], [True, False, True, False], positions)

    found = rows.tokens(1)
    assert found is not None
    assert found.values.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert found.mask.tolist() == [True, False, True]
    torch.testing.assert_close(found.positions, positions[0, :3], equal_nan=True)
    assert (rows.tokens(0), rows.tokens(9)) == (None, None)
    with pytest.raises(DataError, match="torn"):
        rows.tokens(2)


def test_a_batch_of_tokens_is_padded_to_its_longest_row(tmp_path: Path) -> None:
    long = kept(tmp_path / "a", [[1, 2], [3, 4]], [True, True]).tokens(1)
    short = kept(tmp_path / "b", [[5, 6], [0, 0]], [True, False]).tokens(1)
    samples = [Sample(str(n), {"text": v}, {}, key=0) for n, v in enumerate((long, None, short))]

    spec = SignalSpec("text", "text", length=4, vocabulary=("a", "b"))

    batch = collate(samples, DataSpec({"text": spec}, {}))
    found = batch.signals["text"]

    assert isinstance(found, Tokens)
    assert found.values.tolist() == [[[1, 2], [3, 4]], [[0, 0], [0, 0]], [[5, 6], [0, 0]]]
    assert found.mask.tolist() == [[True, True], [False, False], [True, False]]
    assert found.positions is None
    assert batch.rows["text"].tolist() == [0, 2]


def test_values_stand_where_they_can_be_mapped_after_a_write_that_was_cut(tmp_path: Path) -> None:
    """A crash has left 3 bytes; the next values start at a multiple of their size."""
    there = Store(tmp_path / "a", "")
    there.put(b"j" * 16, torch.ones(2, 2))
    with (tmp_path / "a" / SAMPLES).open("ab") as file:
        file.write(b"cut")
    there.put(b"k" * 16, torch.full((1, 3), 2.0))

    assert there.place(b"k" * 16) == (20, (1, 3))
    assert EncodedRows(there, {0: b"k" * 16}, width=2, faults={}).tokens(0).values.tolist() == [[2, 2]]

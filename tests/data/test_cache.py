"""The cache as a whole: which samples may be shared, and that no run can tell whether it was used."""

import os
import tarfile

import pytest
import torch

from mmtrain import loop, training
from mmtrain.build import build
from mmtrain.commands import cache as verb
from mmtrain.contracts import Draw, SignalSpec
from mmtrain.data.cache import entries, stores
from mmtrain.data.readers.audio import AudioReader
from mmtrain.data.readers.image import ImageReader
from mmtrain.data.readers.text import TextReader
from mmtrain.data.tables.tar_index import index
from mmtrain.errors import ConfigError
from mmtrain.trained import read_config, require_trusted_paths
from tests import tiny

HARD = ("trainer.ema_decay=0.9", "trainer.accumulate=2", "fusion.dropout=0.2", "trainer.save_every_steps=3")
LAST = 8


def image(**settings):
    reader = ImageReader("image", **settings)
    reader.fit([])
    return reader


def test_text_is_not_kept(tmp_path):
    """Its words are found faster than a sample is read back."""
    readers = {"text": TextReader("text"), "image": image(), "audio": AudioReader("audio")}

    assert list(stores(tmp_path, readers)) == ["image", "audio"]


def test_columns_decoded_alike_share_a_store(tmp_path):
    """The two pictures of a row, and the same pictures in another table."""
    made = stores(tmp_path, {"image": image(), "image_2": image()})

    assert made["image"].folder == made["image_2"].folder


@pytest.mark.parametrize(
    "settings",
    [
        {"size": 32},
        {"size": [64, 32]},
        {"channels": 1},
        {"resize": "crop"},
        {"max_pixels": 10},
        {"max_bytes": 10},
        {"resize": "pad", "mean": 0.1},
    ],
    ids=str,
)
def test_pictures_decoded_otherwise_do_not(tmp_path, settings):
    """Every setting that `decode` reads is in the recipe; a limit that is lowered refuses what was kept before."""
    other = image(resize="pad") if "mean" in settings else image()
    made = stores(tmp_path, {"image": other, "image_2": image(**settings)})

    assert made["image"].folder != made["image_2"].folder


def test_normalisation_comes_after_the_cache(tmp_path):
    made = stores(tmp_path, {"image": image(), "image_2": image(mean=0.1, std=0.3)})

    assert made["image"].folder == made["image_2"].folder


@pytest.mark.parametrize("settings", [{"sample_rate": 8000}, {"seconds": 2.0}, {"max_bytes": 10}], ids=str)
def test_sounds_decoded_otherwise_do_not_share_a_store(tmp_path, settings):
    made = stores(tmp_path, {"audio": AudioReader("audio"), "audio_2": AudioReader("audio_2", **settings)})

    assert made["audio"].folder != made["audio_2"].folder


def test_a_changed_reader_does_not_meet_its_old_samples(tmp_path, monkeypatch):
    """The code of its module is part of the recipe, the user's own too."""
    for number, code in enumerate(("one", "two")):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "own_reader.py").write_text(
            "class Own:\n    kind = 'own'\n    def recipe(self):\n        return 'same'\n" + f"# {code}\n"
        )
    names = []
    for number in range(2):
        monkeypatch.syspath_prepend(tmp_path / str(number))
        monkeypatch.delitem(__import__("sys").modules, "own_reader", raising=False)
        (store,) = stores(tmp_path, {"own": __import__("own_reader").Own()}).values()
        names.append(store.folder)

    assert names[0] != names[1]


def test_cached_samples_are_equal_to_decoded_ones(tmp_path):
    """Every row of the built-in data, decoded, kept and read back: values, shape, dtype and order in memory."""
    plain = build(tiny.config(tmp_path, "cache_dir=null")).data
    first, again = (build(tiny.config(tmp_path, f"cache_dir={tmp_path}/cache")).data for _ in range(2))
    draws = [Draw(row, 0) for row in range(len(plain.source.ids))]

    for samples in (first.samples(draws, train=True), again.samples(draws, train=True)):
        for ours, theirs in zip(samples, plain.samples(draws, train=True), strict=True):
            for name, values in theirs.values.items():
                found = ours.values[name]
                assert torch.equal(found, values)
                assert (found.dtype, found.is_contiguous()) == (values.dtype, values.is_contiguous())
    assert len(again.stores["audio"]) == 216


class Killed(BaseException):
    """Stands for SIGKILL."""


def test_a_run_is_the_same_with_and_without(tmp_path, monkeypatch):
    """To the bit: without a cache; while it is filled by two workers; from it, killed and resumed."""
    plain = tiny.train(tmp_path / "plain", *HARD, "cache_dir=null")
    cache = f"cache_dir={tmp_path}/cache"

    filling = tiny.train(tmp_path / "filling", *HARD, cache, "trainer.num_workers=2")
    with monkeypatch.context() as patch:
        real = loop.rest

        def deadly(run):
            if run.state.progress.step == 5:
                raise Killed
            real(run)

        patch.setattr(loop, "rest", deadly)
        with pytest.raises(Killed):
            tiny.train(tmp_path / "killed", *HARD, cache)
    (folder,) = (tmp_path / "killed" / "outputs" / "train").iterdir()
    training.resume(folder, read_config(folder, None, {}))

    tiny.assert_same_end(filling, plain, LAST)
    tiny.assert_same_end(folder, plain, LAST)
    assert "cache: 0 decoded samples" in (filling / "train.log").read_text()
    assert "cache: 0 decoded samples" not in (folder / "train.log").read_text()


def test_a_run_from_elsewhere_names_no_cache_by_itself(tmp_path):
    """Its config might name a folder that it wants to be written to; one inside the working folder is the user's."""
    for value in ("auto", None, "inside"):
        require_trusted_paths(tmp_path, tiny.config(tmp_path) | {"cache_dir": value}, {})
    config = tiny.config(tmp_path) | {"cache_dir": f"{tmp_path}/elsewhere"}

    with pytest.raises(ConfigError, match=r"uses `cache_dir=.*elsewhere`, outside the working folder; repeat"):
        require_trusted_paths(tmp_path, config, {})
    require_trusted_paths(tmp_path, config, {"cache_dir": config["cache_dir"]})


def test_a_damaged_cache_does_not_change_a_run(tmp_path):
    """Bytes flipped all over the files: noticed, told, decoded again."""
    cache = f"cache_dir={tmp_path}/cache"
    whole = tiny.train(tmp_path / "whole", *HARD, cache)
    for path in (tmp_path / "cache").glob("*/samples"):
        content = bytearray(path.read_bytes())
        content[::1000] = bytes(value ^ 255 for value in content[::1000])
        path.write_bytes(content)

    again = tiny.train(tmp_path / "again", *HARD, cache)

    tiny.assert_same_end(again, whole, LAST)
    assert (again / "train.log").read_text().count("holds damaged samples") == 2


def test_the_verb_lists_and_clears(tmp_path, capsys, monkeypatch):
    """Sizes and ages by the way of decoding; other files of the folder are left alone."""
    root = tmp_path / "cache"
    (store,) = stores(root, {"image": image()}).values()
    store.put(b"k" * 16, torch.zeros(3, 64, 64, dtype=torch.uint8))
    (root / "notes.txt").write_text("mine")
    os.utime(store.folder, (1000, 1000))
    monkeypatch.setattr(verb.time, "time", lambda: 1070.0)

    verb.run([f"cache_dir={root}"])
    said = capsys.readouterr().out
    assert "image: 3x64x64, squash; at most" in said
    assert "12.4 kB" in said
    assert "1m10s ago" in said
    (entry,) = entries(root)
    assert entry.size == 3 * 64 * 64 + 64 + len(store.recipe)

    verb.run(["clear", f"cache_dir={root}"])
    assert "removed 12.4 kB" in capsys.readouterr().out
    assert [path.name for path in root.iterdir()] == ["notes.txt"]

    verb.run([f"cache_dir={root}"])
    assert "is empty" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="expected `clear` or nothing"):
        verb.run(["clera"])


def test_the_verb_knows_the_indexes_of_shards_too(tmp_path, capsys, monkeypatch):
    """Where no other folder is named: they lie in the user's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    for name in ("a.tar", "b.tar"):
        with tarfile.open(tmp_path / name, "w") as tar:
            tar.addfile(tarfile.TarInfo("0.txt"))
        os.utime(tmp_path / name, (1, 1))  # long ago
        index(tmp_path / name)

    verb.run([f"cache_dir={tmp_path}/other"])
    assert "is empty" in capsys.readouterr().out
    verb.run([])
    assert "indexes of 2 tar shards" in capsys.readouterr().out
    verb.run(["clear"])
    assert list((tmp_path / "user/mmtrain").iterdir()) == []


def test_a_restored_reader_has_the_recipe_of_a_fitted_one(tmp_path):
    """A resumed run finds what it has decoded before."""
    fitted, restored = image(size=32), ImageReader("image", size=None)
    restored.restore(SignalSpec("image", "image", shape=(3, 32, 32)))

    assert restored.recipe() == fitted.recipe()

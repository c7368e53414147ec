"""A checkpoint is whole or absent; damage of any kind is found before a weight of it is used."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mmtrain import checkpoint
from mmtrain.errors import CheckpointError, DiskError

TENSORS = {
    "model": {"weight": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(3)},
    "optim": {"weight/exp_avg": torch.ones(2, 3)},
}
VALUES = {"progress": {"step": 7, "best": 0.25}}


def save(folder: Path, step: int) -> Path:
    return checkpoint.save(folder, step, TENSORS, VALUES, {"data": "abc"})


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    """Tensors, values and facts are read as they were written."""
    saved = checkpoint.read(save(tmp_path, 7))

    assert saved.step == 7
    assert saved.values == VALUES
    assert saved.facts == {"data": "abc"}
    for file, tensors in TENSORS.items():
        for name, tensor in tensors.items():
            assert torch.equal(saved.tensors[file][name], tensor)


def test_tied_tensors_are_written_once_and_read_under_both_names(tmp_path: Path) -> None:
    """Two names of one tensor: one copy on the disk, both names in memory."""
    shared = torch.arange(1000.0)
    path = checkpoint.save(tmp_path, 1, {"model": {"a": shared, "b": shared}, "optim": {}}, {}, {})

    assert (path / "model.safetensors").stat().st_size < 1.5 * shared.numel() * 4
    assert torch.equal(checkpoint.read(path).tensors["model"]["b"], shared)


def test_200_bit_flips_are_all_found(tmp_path: Path) -> None:
    """One flipped bit anywhere in any file of a checkpoint makes it unusable."""
    path = save(tmp_path, 7)
    files = {file: file.read_bytes() for file in sorted(path.iterdir())}
    draw = random.Random(0)
    missed = []
    for _ in range(200):
        file = draw.choice(list(files))
        bit = draw.randrange(8 * len(files[file]))
        damaged = bytearray(files[file])
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        try:
            checkpoint.read(path)
            missed.append((file.name, bit))
        except CheckpointError:
            pass
        file.write_bytes(files[file])

    assert missed == []
    checkpoint.read(path)  # unharmed once all is put back


@pytest.mark.parametrize("name", ["manifest.json", "state.json", "model.safetensors", "optim.safetensors"])
@pytest.mark.parametrize("length", [0, 1, "half", "less one"])
def test_a_truncated_file_is_found(tmp_path: Path, name: str, length: int | str) -> None:
    """A file cut to nothing, to one byte, to half, or by one byte."""
    file = save(tmp_path, 7) / name
    data = file.read_bytes()
    file.write_bytes(data[: {"half": len(data) // 2, "less one": len(data) - 1}.get(str(length), length)])

    with pytest.raises(CheckpointError, match=name):
        checkpoint.read(file.parent)


def _delete(path: Path) -> None:
    (path / "optim.safetensors").unlink()


def _swap(path: Path) -> None:
    (path / "optim.safetensors").rename(path / "x")
    (path / "model.safetensors").rename(path / "optim.safetensors")
    (path / "x").rename(path / "model.safetensors")


def _add(path: Path) -> None:
    (path / "extra.txt").write_text("x")


def _link(path: Path) -> None:
    (path / "model.safetensors").rename(path.parent / "elsewhere")
    (path / "model.safetensors").symlink_to(path.parent / "elsewhere")


@pytest.mark.parametrize("damage", [_delete, _swap, _add, _link])
def test_other_damage_is_found(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """A file deleted, two swapped, one added, one replaced by a link."""
    path = save(tmp_path, 7)
    damage(path)

    with pytest.raises(CheckpointError):
        checkpoint.read(path)


def test_the_newest_good_one_is_taken_and_the_others_are_named(tmp_path: Path) -> None:
    """With the newest damaged the one before is read, and the reason is told."""
    save(tmp_path, 1)
    (save(tmp_path, 2) / "model.safetensors").write_bytes(b"x")

    saved, faults = checkpoint.newest(tmp_path)

    assert saved.step == 1
    assert len(faults) == 1
    assert "step_00000002" in faults[0]


def test_all_damaged_is_an_error_that_lists_each(tmp_path: Path) -> None:
    """Nothing is ever started from scratch silently."""
    for step in (1, 2):
        (save(tmp_path, step) / "state.json").write_bytes(b"")

    with pytest.raises(CheckpointError, match=r"(?s)step_00000002.*step_00000001"):
        checkpoint.newest(tmp_path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    """A checkpoint with nan weights is passed over like a damaged one."""
    save(tmp_path, 1)
    checkpoint.save(tmp_path, 2, {"model": {"w": torch.tensor([1.0, torch.nan])}, "optim": {}}, {}, {})

    assert checkpoint.newest(tmp_path)[0].step == 1


def test_a_newer_format_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of a later mmtrain is refused by its format number, not by a crash."""
    monkeypatch.setattr(checkpoint, "FORMAT", 2)
    path = save(tmp_path, 1)
    monkeypatch.undo()

    with pytest.raises(CheckpointError, match="format 2"):
        checkpoint.read(path)


def test_a_moved_checkpoint_is_refused(tmp_path: Path) -> None:
    """The folder's name and the manifest must agree on the step."""
    save(tmp_path, 1).rename(tmp_path / "step_00000009")

    with pytest.raises(CheckpointError, match="step 1"):
        checkpoint.newest(tmp_path)


def test_pruning_keeps_what_it_is_told_and_deletes_only_its_own_files(tmp_path: Path) -> None:
    """One whose manifest is damaged stays: nothing says which files in it are ours."""
    for step in (1, 2, 3):
        save(tmp_path, step)
    (tmp_path / "step_00000002" / "manifest.json").write_bytes(b"")
    checkpoint.prune(tmp_path, {3})

    assert [path.name for path in checkpoint.steps(tmp_path)] == ["step_00000002", "step_00000003"]


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    """A step that was saved before its evaluation is saved again after it."""
    save(tmp_path, 7)
    checkpoint.save(tmp_path, 7, TENSORS, {"progress": {"step": 7, "best": 0.5}}, {})

    assert checkpoint.read(tmp_path / "step_00000007").values == {"progress": {"step": 7, "best": 0.5}}
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000007"]


def test_a_disk_without_room_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says how much is needed and how much is free."""
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    with pytest.raises(DiskError, match="100 are free"):
        save(tmp_path, 1)
    assert list(tmp_path.iterdir()) == []


class Killed(BaseException):
    """Stands for SIGKILL: nothing handles it."""


def test_a_kill_at_any_point_of_a_save_leaves_a_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever call to the system is the last one, the newest checkpoint that is found is whole."""
    real = {"fsync": os.fsync, "open": os.open, "rename": Path.rename, "mkdir": Path.mkdir}
    calls = 0
    deadly = 10**9

    def counted(name: str) -> Callable[..., object]:
        def call(*arguments: object, **keywords: object) -> object:
            nonlocal calls
            calls += 1
            if calls == deadly:
                raise Killed(name)
            return real[name](*arguments, **keywords)  # type: ignore[operator]

        return call

    monkeypatch.setattr(os, "fsync", counted("fsync"))
    monkeypatch.setattr(os, "open", counted("open"))
    monkeypatch.setattr(Path, "rename", counted("rename"))
    monkeypatch.setattr(Path, "mkdir", counted("mkdir"))
    save(tmp_path / "counting", 2)
    total = calls
    assert total >= 9  # two folders, four files, the folder's sync, the rename, the parent's sync
    found = []
    for point in range(1, total + 1):
        folder = tmp_path / f"killed_{point}"
        calls, deadly = 0, 10**9
        save(folder, 1)
        calls, deadly = 0, point
        with pytest.raises(Killed):
            save(folder, 2)
        deadly = 10**9
        found.append(checkpoint.newest(folder)[0].step)
        checkpoint.clean(folder)
        assert not list(folder.glob(".tmp-*"))

    assert found == sorted(found)
    assert set(found) == {1, 2}


@pytest.mark.parametrize("key", ["format", "step", "files", "facts", "sha256"])
def test_a_manifest_without_one_of_its_keys_is_refused(tmp_path: Path, key: str) -> None:
    """A hand-edited manifest ends in a message, not in a traceback."""
    path = save(tmp_path, 1) / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest[key]
    path.write_text(json.dumps(manifest))

    with pytest.raises(CheckpointError, match=r"manifest\.json"):
        checkpoint.read(path.parent)

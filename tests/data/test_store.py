"""What a store gives back is what was put in, or nothing; never anything else."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch

from mmtrain.data import store
from mmtrain.data.store import Store, key_of

PICTURE = torch.arange(24, dtype=torch.uint8).view(2, 3, 4)
SOUND = torch.tensor([0.25, -1.0, 3.0])
A, B, C = (key_of(cell) for cell in (b"a", b"b", b"c"))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache" / "image-1"


@pytest.fixture
def filled(folder):
    """A folder that holds a picture as A and a sound as B."""
    made = Store(folder, "as in tests")
    made.put(A, PICTURE)
    made.put(B, SOUND)
    return folder


@pytest.mark.parametrize("merge", [0, 10_000])
def test_samples_come_back_as_they_were(filled, monkeypatch, merge):
    """Values, shape and dtype, in another process too; whether the index is looked up in its dict or its array."""
    monkeypatch.setattr(store, "_MERGE", merge)

    there = Store(filled, "as in tests")

    assert torch.equal(there.get(A), PICTURE)
    assert torch.equal(there.get(B), SOUND)
    assert (there.get(A).dtype, there.get(C), len(there)) == (torch.uint8, None, 2)


def test_a_change_of_what_came_back_stays_outside(filled):
    """An encoder or augmentation that works in place does not reach the next epoch."""
    there = Store(filled, "")

    there.get(A).zero_()

    assert torch.equal(there.get(A), PICTURE)


def test_only_what_is_new_is_decoded(folder):
    """The second time, the decoder is not asked."""
    asked = []
    there = Store(folder, "")

    def decode(cell):
        asked.append(cell)
        return SOUND

    for cell in (b"x", b"y", b"x", b"x"):
        assert torch.equal(there.decoded(cell, decode), SOUND)

    assert asked == [b"x", b"y"]


def test_nothing_is_kept_of_a_cell_that_cannot_be_decoded(folder):
    """Its fault is told each time."""

    def decode(cell):
        raise ValueError("damaged")

    for _ in range(2):
        with pytest.raises(ValueError, match="damaged"):
            Store(folder, "").decoded(b"x", decode)

    assert not folder.exists()


def test_cells_that_differ_have_keys_that_differ():
    """Also where their parts are cut elsewhere, or one is blank."""
    cells = [b"ab", b"ba", b"", (b"a", b"b"), (b"ab", None), (None, b"ab"), (b"", b"ab"), (None,), ("a", "bc")]

    assert len({key_of(cell) for cell in cells}) == len(cells)


@pytest.mark.parametrize("merge", [0, 10_000])
def test_a_store_sees_what_others_add(filled, monkeypatch, merge):
    """Two runs at once, or the workers of one, share their work."""
    monkeypatch.setattr(store, "_MERGE", merge)
    one, other = Store(filled, ""), Store(filled, "")

    one.put(C, PICTURE)

    assert torch.equal(other.get(C), PICTURE)


def test_many_writers_at_once_do_not_mix(folder):
    """Eight threads, each with a store of its own, write 25 samples each."""
    samples = {key_of(b"%d" % n): torch.full((n % 7 + 1,), n) for n in range(200)}

    def write(part):
        mine = Store(folder, "")
        for key in list(samples)[part::8]:
            mine.put(key, samples[key])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    there = Store(folder, "")

    assert all(torch.equal(there.get(key), values) for key, values in samples.items())


@pytest.mark.parametrize("file", ["samples", "index"])
def test_a_flipped_bit_anywhere_is_found(filled, file, capsys):
    """Every single byte of the two files in turn: the samples are the right ones or none."""
    content = (filled / file).read_bytes()
    for at in range(len(content)):
        (filled / file).write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        there = Store(filled, "")
        for key, values in ((A, PICTURE), (B, SOUND)):
            found = there.get(key)
            assert found is None or torch.equal(found, values)
        lost = [key for key in (A, B) if there.get(key) is None]
        assert len(lost) == 1, "a byte belongs to one sample"

    assert ("holds damaged samples; they are made again" in capsys.readouterr().out) == (file == "samples")


@pytest.mark.parametrize("merge", [0, 10_000])
@pytest.mark.parametrize("file", ["samples", "index"])
def test_a_file_cut_anywhere_is_filled_again(filled, monkeypatch, file, merge):
    """As a crash or a full disk leaves it: what is whole is there, and what comes later is not harmed."""
    monkeypatch.setattr(store, "_MERGE", merge)
    content = (filled / file).read_bytes()
    for length in range(len(content)):
        (filled / file).write_bytes(content[:length])
        there = Store(filled, "")
        for key, values in ((A, PICTURE), (B, SOUND)):
            assert torch.equal(there.decoded(b"a" if key == A else b"b", lambda _, v=values: v), values)
        again = Store(filled, "")
        assert torch.equal(again.get(A), PICTURE)
        assert torch.equal(again.get(B), SOUND)
        (filled / "index").write_bytes((filled / "index").read_bytes()[:128])  # two records, as at first


def test_a_store_that_is_cleared_meanwhile_is_filled_again(filled):
    """`mmtrain cache clear` beside a run that trains."""
    there = Store(filled, "")
    for file in filled.iterdir():
        file.unlink()
    filled.rmdir()

    assert torch.equal(there.decoded(b"a", lambda _: SOUND), SOUND)
    assert torch.equal(Store(filled, "").get(A), SOUND)
    assert Store(filled, "").get(B) is None


def test_a_store_cleared_while_it_is_written_loses_that_sample_only(filled, monkeypatch):
    """The folder goes between the look at its disk and the writing; the next sample makes it anew."""
    there = Store(filled, "")

    def clear(folder):
        shutil.rmtree(folder)
        return SimpleNamespace(free=2 * store.RESERVE)

    with monkeypatch.context() as patch:
        patch.setattr(store.shutil, "disk_usage", clear)
        there.put(C, SOUND)
    there.put(A, SOUND)

    assert (len(Store(filled, "")), there.get(C)) == (1, None)
    assert torch.equal(Store(filled, "").get(A), SOUND)


def test_what_the_format_cannot_hold_is_not_kept(folder):
    """It is decoded each time, as without a cache."""
    there = Store(folder, "")
    for values in (torch.zeros(0), torch.zeros(1, 1, 1, 1, 1, 1), torch.tensor([1j])):
        assert there.decoded(b"x", lambda _, v=values: v) is values

    assert not folder.exists()


def test_a_full_disk_is_told_once_and_stops_nothing(folder, monkeypatch, capsys):
    """Less than the reserve is free: samples are decoded each time."""
    monkeypatch.setattr(store, "RESERVE", 2**80)
    there = Store(folder, "")

    for _ in range(2):
        assert torch.equal(there.decoded(b"x", lambda _: SOUND), SOUND)

    assert capsys.readouterr().out.count("nothing more is kept in the cache") == 1


@pytest.mark.skipif(os.name == "nt", reason="permissions are not those of Unix")
def test_others_cannot_write_into_a_store(filled):
    """Whoever could would decide what is trained on."""
    assert filled.stat().st_mode & 0o077 == 0

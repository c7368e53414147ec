"""Weights from files and from torch's model zoo."""

from __future__ import annotations

import threading
import urllib.error
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mmtrain import weights
from mmtrain.weights import fetch, load_weights

URL = "https://example.org/models/tiny-0123abcd.pth"


def stored(path: Path, **tensors: object) -> Path:
    torch.save(tensors, path)
    return path


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_stored_weights_come_back(tmp_path: Path, suffix: str):
    first, second = nn.Linear(3, 2), nn.Linear(3, 2)
    path = tmp_path / f"w{suffix}"
    save_file(first.state_dict(), path) if suffix == ".safetensors" else torch.save(first.state_dict(), path)
    load_weights(second, path)

    assert torch.equal(first.weight, second.weight)
    assert torch.equal(first.bias, second.bias)


def test_tensors_that_the_model_does_without_can_be_ignored(tmp_path: Path):
    path = stored(tmp_path / "w.pth", weight=torch.ones(2, 3), bias=torch.ones(2), head=torch.ones(9))
    module = nn.Linear(3, 2)
    load_weights(module, path, ignore=("head",))

    assert module.weight.sum() == 6


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"weight": torch.ones(2, 3)}, r"lacks 1 \(first: 'bias'\)"),
        ({"weight": torch.ones(2, 3), "bias": torch.ones(2), "more": torch.ones(1)}, r"1 tensors too many .*'more'"),
        ({"weight": torch.ones(3, 2), "bias": torch.ones(2)}, r"'weight' has shape \(3, 2\), the model \(2, 3\)"),
        ({"weight": torch.full((2, 3), torch.inf), "bias": torch.ones(2)}, "'weight' holds nan or infinite values"),
        ({"weight": torch.ones(2, 3).to_sparse(), "bias": torch.ones(2)}, "'weight' is not a plain dense tensor"),
        ({"weight": "text"}, "not a state dict"),
    ],
)
@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants")  # torch, of the sparse one
def test_other_tensors_are_refused_and_nothing_is_copied(tmp_path: Path, tensors: dict[str, Tensor], message: str):
    module = nn.Linear(3, 2)
    before = module.bias.clone()

    with pytest.raises(ValueError, match=message):
        load_weights(module, stored(tmp_path / "w.pth", **tensors))
    assert torch.equal(module.bias, before)


class Trap:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_code_in_a_file_is_not_run(tmp_path: Path):
    torch.save(OrderedDict(weight=Trap(tmp_path / "sprung")), tmp_path / "w.pth")

    with pytest.raises(ValueError, match="no file of plain weights"):
        load_weights(nn.Linear(3, 2), tmp_path / "w.pth")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"PK\x03\x04 half a zip"])
def test_other_files_are_refused_in_one_line(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ValueError, match=name) as caught:
        load_weights(nn.Linear(3, 2), tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="cannot be read"):
        load_weights(nn.Linear(3, 2), tmp_path / "none.pth")


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which torch keeps downloads, empty."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    return tmp_path / "checkpoints"


def test_a_file_of_the_zoo_is_downloaded_once(zoo: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr(weights.urllib.request, "urlopen", refuse)
    zoo.mkdir()
    (zoo / "tiny-0123abcd.pth").touch()

    assert fetch(URL) == zoo / "tiny-0123abcd.pth"


@pytest.mark.usefixtures("threads_end")
def test_without_a_network_the_download_fails_in_one_line(zoo: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(weights.urllib.request, "urlopen", refuse)

    with pytest.raises(ValueError, match=r"cannot reach https://example\.org") as caught:
        fetch(URL)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("threads_end")
def test_a_network_that_never_answers_is_given_up(zoo: Path, monkeypatch: pytest.MonkeyPatch):
    answer = threading.Event()

    def hang(*_: object, **__: object) -> None:
        answer.wait()
        raise urllib.error.URLError("too late")

    monkeypatch.setattr(weights, "_PROBE_SECONDS", 0.01)
    monkeypatch.setattr(weights.urllib.request, "urlopen", hang)

    with pytest.raises(ValueError, match="cannot reach"):
        fetch(URL)
    answer.set()

"""Weights from elsewhere: the only door through which a `.pth` or `.safetensors` file enters a model.

Nothing in the file is executed (`weights_only=True`), and every tensor must be dense, finite and of the shape that the
module expects before one of them is copied.
"""

from __future__ import annotations

import pickle
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

_PROBE_SECONDS = 1.5

# What reading raises when a few bytes of a file are changed: torch's restricted unpickler lets all of these through.
_DAMAGED = (
    *(SafetensorError, pickle.UnpicklingError, struct.error, RuntimeError, ValueError, TypeError),
    *(EOFError, LookupError, AttributeError, AssertionError, OverflowError, MemoryError),
)


def load_weights(module: nn.Module, path: Path, *, ignore: Collection[str] = ()) -> None:
    """Copies a state dict from a file into the module.

    Args:
        module: Takes exactly the tensors of the file.
        path: A `.safetensors` file, or one written by `torch.save(module.state_dict(), path)`.
        ignore: Names of tensors in the file that the module does without, such as those of a classifier.

    Raises:
        ValueError: The file cannot be read, or holds anything but the expected tensors.
    """
    found = {name: value for name, value in _read(path).items() if name not in ignore}
    expected = module.state_dict()
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or extra:
        raise ValueError(
            f"{path} has {len(extra)} tensors too many{_first(extra)} and lacks {len(missing)}{_first(missing)}"
            " of this model; take weights made by the same architecture."
        )
    for name, value in found.items():
        if value.layout != torch.strided or value.is_quantized or value.is_meta:
            raise ValueError(f"{path}: tensor '{name}' is not a plain dense tensor")
        if value.shape != expected[name].shape:
            raise ValueError(
                f"{path}: tensor '{name}' has shape {tuple(value.shape)}, the model {tuple(expected[name].shape)}"
            )
        if not torch.isfinite(value).all():
            raise ValueError(f"{path}: tensor '{name}' holds nan or infinite values")
    module.load_state_dict(found)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    except _DAMAGED as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"{path} is no file of plain weights: {reason[0][:120]}") from None
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{path} is not a state dict: expected a flat mapping of names to tensors")
    return content


def _first(names: list[str]) -> str:
    return f" (first: '{names[0]}')" if names else ""


def locate(weights: str, published: Mapping[str, str], where: str) -> Path:
    """The file that a config key `weights` names.

    Args:
        weights: The name of a published set of weights, or a path.
        published: The URL of each set, by name.
        where: The dotted key, for messages.

    Raises:
        ValueError: There is no such file, or the set cannot be had; the message names the key and what else there is.
    """
    if weights in published:
        try:
            return fetch(published[weights])
        except ValueError as error:
            message = f"`{where}` (={weights}): {error}; name a local file, or null for random weights."
            raise ValueError(message) from None
    path = Path(weights)
    if not path.is_file():
        others = "".join(f", {name}" for name in published)
        raise ValueError(f"`{where}`: no file '{weights}'; name one{others}, or null for random weights.")
    return path


def fetch(url: str) -> Path:
    """The file behind a URL of torch's model zoo, from torch's own cache where it is already there.

    Raises:
        ValueError: Not in the cache, and the server cannot be reached or the file cannot be written.
    """
    name = url.rsplit("/", 1)[-1]
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if path.is_file():
        return path
    if not _reachable(url):
        raise ValueError(f"cannot reach {url} and {path} does not exist")
    digest = name.rsplit(".", 1)[0].rsplit("-", 1)[-1]  # the zoo ends its names in the start of the SHA-256
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=digest, progress=False)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"cannot download {url} to {path}: {error}") from None
    return path


def _reachable(url: str) -> bool:
    """Asks in a thread, because looking up a name may hang far beyond any timeout of the socket."""
    answers: list[bool] = []

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=_PROBE_SECONDS):
                answers.append(True)
        except (OSError, urllib.error.URLError):
            return

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_PROBE_SECONDS)
    return bool(answers)

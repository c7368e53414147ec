"""The folder of a run: who works in it, what it says of its making, and what is left in it when the run fails."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import metadata
from pathlib import Path
from types import TracebackType

import torch
import yaml

from mmtrain.device import Compute
from mmtrain.errors import DiskError, MmtrainError, OutOfMemoryError, PeerError
from mmtrain.peers import Peers
from mmtrain.report import logged
from mmtrain.runlock import locked
from mmtrain.wholefile import write_whole


@contextmanager
def opened(folder: Path, peers: Peers, batch_size: int) -> Iterator[None]:
    """The run's lock, its log, and `error.json` if it fails.

    Args:
        folder: The run's.
        peers: The processes of the run; the first one locks and logs.
        batch_size: For the message when it does not fit into memory.
    """
    with ExitStack() as stack:
        if peers.first:
            stack.enter_context(locked(folder))
            (folder / "error.json").unlink(missing_ok=True)  # of the attempt before, where it is resumed
            stack.enter_context(logged(folder / "train.log"))
        stack.push(partial(_note_error, folder, peers))
        try:
            yield
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            reason = (str(error).splitlines() or ["no more to be had"])[0][:120]
            raise OutOfMemoryError(
                f"out of memory with `trainer.batch_size` (={batch_size}): {reason}. Halve it, or keep it and compute "
                "it in parts with `trainer.accumulate=2`."
            ) from error
        except BrokenPipeError:
            raise  # of the terminal, not of the disk
        except OSError as error:
            reason = f"{error.filename or folder}: {error.strerror or error}"
            raise DiskError(f"{reason}; free space or choose `output_dir=`.") from error


def environment(compute: Compute, peers: Peers) -> dict[str, object]:
    """What a number may depend on besides config and data."""
    packages = ("mmtrain", "torch", "torchvision", "torchaudio", "numpy", "scikit-learn", "pillow", "soundfile")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: metadata.version(name) for name in packages},
        "device": str(compute.device),
        "device_name": torch.cuda.get_device_name() if compute.device.type == "cuda" else platform.processor(),
        "precision": compute.precision,
        "num_threads": compute.num_threads,
        "processes": peers.size,
    }


def other_version(folder: Path) -> str:
    """A line to end an error with, where a run was made by another mmtrain than this; else nothing."""
    try:
        made = json.loads((folder / "environment.json").read_text(encoding="utf-8"))["packages"]["mmtrain"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # whatever is wrong with the folder, the error itself tells
    here = metadata.version("mmtrain")
    return f"\nThe run was made with mmtrain {made}, this is {here}." if made != here else ""


def _note_error(
    folder: Path,
    peers: Peers,
    kind: type[BaseException] | None,
    error: BaseException | None,
    _: TracebackType | None,
) -> None:
    """Writes down why the run ends, whatever it is; called as the `__exit__` of a context is."""
    if kind is None:
        return
    code = error.code if isinstance(error, MmtrainError) else 130 if kind is KeyboardInterrupt else 1
    # Where the first process has died, the others tell it in its place.
    name = "error.json" if peers.first or kind is PeerError else f"error_{peers.rank}.json"
    try:
        write_json(folder / name, {"code": code, "message": str(error), "kind": kind.__name__})
    except OSError:
        return  # the disk may be what has failed; the error itself is on its way to the user


def write_json(path: Path, value: object) -> None:
    """A value as indented JSON."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """A text as UTF-8."""
    path.write_text(text, encoding="utf-8")


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def write_config(folder: Path, config: Mapping[str, object]) -> None:
    """Writes config.yaml so that it is there whole or as it was."""
    write_whole(folder / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))

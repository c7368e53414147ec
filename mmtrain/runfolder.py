"""The folder of a run: who works in it, what it says of its making, and what is left in it when the run fails."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path

import torch

from mmtrain.device import Compute
from mmtrain.errors import DiskError, MmtrainError, OutOfMemoryError, PeerError
from mmtrain.peers import Peers
from mmtrain.report import logged
from mmtrain.runlock import locked


@contextmanager
def opened(folder: Path, peers: Peers) -> Iterator[None]:
    """The run's lock, its log, and `error.json` if it fails."""
    with ExitStack() as stack:
        if peers.first:
            stack.enter_context(locked(folder))
            stack.enter_context(logged(folder / "train.log"))
        try:
            yield
        except MmtrainError as error:
            _write_error(folder, peers, error)
            raise
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            told = OutOfMemoryError(
                f"out of memory ({str(error).splitlines()[0][:120]}); halve `trainer.batch_size`, or keep it and "
                "compute it in parts with `trainer.accumulate=2`."
            )
            _write_error(folder, peers, told)
            raise told from error
        except OSError as error:
            told_disk = DiskError(f"{error.filename or folder}: {error.strerror}; free space or choose `output_dir=`.")
            raise told_disk from error


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


def _write_error(folder: Path, peers: Peers, error: MmtrainError) -> None:
    # Where the first process has died, the others tell it in its place.
    name = "error.json" if peers.first or isinstance(error, PeerError) else f"error_{peers.rank}.json"
    try:
        write_json(folder / name, {"code": error.code, "message": str(error), "kind": type(error).__name__})
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

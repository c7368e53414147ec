"""Checkpoints: a folder a step, complete or absent, every byte of it verified before it is used.

    checkpoints/step_00000120/    the name appears when everything in it is on the disk
      model.safetensors  optim.safetensors  ema.safetensors  soup.safetensors   tensors, no pickle
      state.json                  progress, counters, names of tied tensors
      manifest.json               size and SHA-256 of every file, what made it, and its own SHA-256

A checksum proves that nothing was damaged, not who made it. Writing follows the order that survives a power cut: files,
manifest, folder, rename, parent (Pillai et al. 2014, "All File Systems Are Not Created Equal", OSDI).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, TypedDict, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from mmtrain.errors import CheckpointError, DiskError
from mmtrain.state import Plain

FORMAT = 1
_MAX_JSON_BYTES = 4_000_000


class Checkpoint(NamedTuple):
    """A checkpoint whose every byte has been verified."""

    step: int
    tensors: dict[str, dict[str, Tensor]]
    values: Plain
    facts: Plain


def save(folder: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], values: Plain, facts: Plain) -> Path:
    """Writes `folder/step_<step>` and returns it once it is safely on the disk.

    Args:
        folder: The run's `checkpoints`.
        step: Optimizer steps done.
        tensors: By file, then by name.
        values: The rest of the state.
        facts: What made it: versions, threads, data fingerprint.

    Raises:
        DiskError: The disk is full or cannot be written; older checkpoints are untouched.
    """
    final = folder / f"step_{step:08d}"
    contents, aliases = {}, {}
    for name, part in tensors.items():
        distinct, tied = _untie(part)
        contents[f"{name}.safetensors"] = save_tensors(distinct)
        aliases[name] = tied
    contents["state.json"] = _dump({**values, "aliases": aliases})
    files = {n: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for n, data in contents.items()}
    manifest: dict[str, object] = {"format": FORMAT, "step": step, "files": files, "facts": dict(facts)}
    manifest["sha256"] = hashlib.sha256(_dump(manifest)).hexdigest()

    temporary = folder / f".tmp-{uuid.uuid4().hex}"
    try:
        folder.mkdir(exist_ok=True)
        _require_space(folder, sum(map(len, contents.values())))
        temporary.mkdir()
        for name, data in contents.items():
            _write(temporary / name, data)
        _write(temporary / "manifest.json", _dump(manifest))
        _sync_folder(temporary)
        old = folder / f"{temporary.name}-old"
        if final.exists():
            final.rename(old)  # killed here, the run goes on from the checkpoint before
        temporary.rename(final)
        _sync_folder(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise DiskError(
            f"cannot save {final}: {os.strerror(error.errno or errno.EIO)}; earlier ones are whole."
        ) from error
    return final


def read(path: Path) -> Checkpoint:
    """Reads a checkpoint whole.

    Raises:
        CheckpointError: Anything in it is not as it was written, or a weight is not finite.
    """
    manifest = _read_manifest(path)
    contents = {}
    for name, expected in manifest["files"].items():
        data = _read_file(path / name, expected["bytes"])
        if hashlib.sha256(data).hexdigest() != expected["sha256"]:
            raise CheckpointError(f"{path / name}: its SHA-256 is not the one in manifest.json; it is damaged.")
        contents[name] = data
    try:
        state = json.loads(contents.pop("state.json"))
        tensors = {name.removesuffix(".safetensors"): load_tensors(data) for name, data in contents.items()}
        for name, tied in state.pop("aliases").items():
            tensors[name] |= {alias: tensors[name][first] for alias, first in tied.items()}
        tensors["optim"]
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of mmtrain: {error}") from None
    for name, tensor in tensors["model"].items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{path}: weight `{name}` is not finite.")
    return Checkpoint(manifest["step"], tensors, state, manifest["facts"])


def newest(folder: Path) -> tuple[Checkpoint, list[str]]:
    """The newest checkpoint that verifies, and why newer ones were passed over.

    Raises:
        CheckpointError: None verifies; the message lists each with its fault.
    """
    faults: list[str] = []
    for path in reversed(steps(folder)):
        try:
            return read(path), faults
        except CheckpointError as error:
            faults.append(str(error))
    listed = "".join(f"\n  {fault}" for fault in faults) or " there is none."
    raise CheckpointError(f"no usable checkpoint in {folder}:{listed}")


def at_step(folder: Path, step: int) -> Checkpoint:
    """The checkpoint of one step, verified."""
    return read(folder / f"step_{step:08d}")


def steps(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(p for p in folder.glob("step_*") if p.is_dir() and not p.is_symlink())


def prune(folder: Path, keep: Iterable[int]) -> None:
    """Deletes all checkpoints but those of the steps in `keep`, and only files that their manifests name."""
    kept = {f"step_{step:08d}" for step in keep}
    for path in steps(folder):
        if path.name in kept:
            continue
        try:
            names = [*_read_manifest(path)["files"], "manifest.json"]
        except CheckpointError:
            continue  # a damaged one is left for its owner to look at
        for name in reversed(names):  # manifest first: a half-deleted folder must not look whole
            (path / name).unlink(missing_ok=True)
        path.rmdir()


def clean(folder: Path) -> list[str]:
    """Removes what a killed save has left, and returns the names."""
    strays = [path for path in folder.glob(".tmp-*") if path.is_dir() and not path.is_symlink()]
    for path in strays:
        shutil.rmtree(path)
    return [path.name for path in strays]


def _untie(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Each storage once, contiguous on the CPU, and the further names of those that have several."""
    distinct: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    first: dict[tuple[int, torch.Size, tuple[int, ...]], str] = {}
    for name, tensor in tensors.items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() and place in first:
            aliases[name] = first[place]
            continue
        first[place] = name
        distinct[name] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    return distinct, aliases


def _dump(value: object) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode()


class _File(TypedDict):
    bytes: int
    sha256: str


class _Manifest(TypedDict):
    format: int
    step: int
    files: dict[str, _File]
    facts: dict[str, object]


def _read_manifest(path: Path) -> _Manifest:
    data = _read_file(path / "manifest.json", None)
    try:
        raw = json.loads(data)
        claimed = raw.pop("sha256")
        whole = _dump({**raw, "sha256": claimed}) == data
        manifest = cast(_Manifest, raw)
        ints = [manifest["format"], manifest["step"], *(file["bytes"] for file in manifest["files"].values())]
        whole = whole and all(isinstance(value, int) for value in ints) and "state.json" in manifest["files"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CheckpointError(f"{path / 'manifest.json'}: not a manifest; it is damaged.") from None
    if not whole or hashlib.sha256(_dump(raw)).hexdigest() != claimed:
        raise CheckpointError(f"{path / 'manifest.json'}: does not match its own SHA-256; it is damaged.")
    if manifest["format"] != FORMAT:
        raise CheckpointError(f"{path}: format {manifest['format']}, this mmtrain reads {FORMAT}; use a newer mmtrain.")
    if path.name != f"step_{manifest['step']:08d}":
        raise CheckpointError(f"{path}: its manifest is that of step {manifest['step']}.")
    found = {entry.name for entry in path.iterdir()} - {"manifest.json"}
    odd = sorted(found ^ set(manifest["files"]))
    if odd:
        raise CheckpointError(f"{path}: `{odd[0]}` is {'not in its manifest' if odd[0] in found else 'missing'}.")
    return manifest


def _read_file(path: Path, size: int | None) -> bytes:
    try:
        if path.is_symlink():
            raise CheckpointError(f"{path}: a link, not a file.")
        actual = path.stat().st_size
        if size is None and actual > _MAX_JSON_BYTES:
            raise CheckpointError(f"{path}: {actual} bytes is too much for a manifest.")
        if size is not None and actual != size:
            raise CheckpointError(f"{path}: {actual} bytes, its manifest says {size}; it is cut off or damaged.")
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}.") from None


def _require_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < 1.5 * size:
        raise DiskError(f"{folder}: a checkpoint needs {1.5 * size:,.0f} bytes, {free:,} are free; make room first.")


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder to sync it
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""Where a run computes: the device, the number format, the threads, and how repeatable all of it is."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from mmtrain.errors import ConfigError

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Compute:
    """The device of this process and the number format of its forward pass.

    Args:
        device: Where model and batches live.
        precision: `fp32`, `bf16` or `fp16`; weights and optimizer stay in float32.
        num_threads: Threads of one CPU operation; part of what makes a run repeatable to the bit.
    """

    device: torch.device
    precision: str
    num_threads: int

    def autocast(self) -> AbstractContextManager[object]:
        """The context of a forward pass."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=_DTYPES[self.precision])

    @property
    def pin_memory(self) -> bool:
        """Whether batches are made in pinned memory, so that copies to the device overlap with computing."""
        return self.device.type == "cuda"


def choose(
    device: str, precision: str, *, num_threads: int | None, determinism: str, local_processes: int = 1
) -> Compute:
    """Picks device and precision, and sets threads and determinism for the whole process.

    Args:
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        precision: `auto` is bf16 on CUDA hardware that has it, fp32 elsewhere.
        num_threads: None: the usable cores, shared between the processes on this machine.
        determinism: `off` lets cuDNN choose the fastest kernels; `seeded` is the library's default; `strict` refuses
            operations that are not repeatable and turns TF32 off.
        local_processes: Processes of this run on this machine.

    Raises:
        ConfigError: The device does not exist, or cannot compute in that precision.
    """
    chosen = _device(device)
    threads = num_threads or max(1, _usable_cores() // local_processes)
    torch.set_num_threads(threads)
    if torch.are_deterministic_algorithms_enabled() != (determinism == "strict"):  # the call imports torch's compiler
        torch.use_deterministic_algorithms(determinism == "strict")
    torch.backends.cudnn.benchmark = determinism == "off"
    if determinism == "strict":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
    return Compute(chosen, _precision(precision, chosen), threads)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _device(name: str) -> torch.device:
    if name == "auto":
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if torch.cuda.is_available():
            return torch.device("cuda", local % torch.cuda.device_count())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdigit()):
        raise ConfigError(f"`device={name}` is not one of auto, cpu, cuda, cuda:<number>, mps.")
    if kind == "cuda" and (not torch.cuda.is_available() or int(number or 0) >= torch.cuda.device_count()):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        raise ConfigError(f"`device={name}`: this machine has {count} usable CUDA devices; try device=auto.")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("`device=mps`: this machine has no usable Metal device; try device=auto.")
    return torch.device(name)


def _precision(name: str, device: torch.device) -> str:
    if name == "auto":
        return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if name == "fp16" and device.type == "cpu":
        raise ConfigError("`precision=fp16` needs a GPU: small gradients vanish in it on the CPU; try precision=bf16.")
    return name

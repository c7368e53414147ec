"""The memory that a cell takes at its peak, in a process that has run others before."""

from __future__ import annotations

import re
from pathlib import Path

import torch

_SELF = Path("/proc/self")


def reset_peak_memory() -> None:
    """Starts to look for a new peak."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    try:
        (_SELF / "clear_refs").write_text("5", encoding="ascii")  # see proc(5): resets VmHWM
    except OSError:
        return  # not Linux, or not allowed: `peak_memory` then tells of the whole process


def peak_memory(device: torch.device) -> int | None:
    """Bytes on a CUDA device, else the resident memory of this process, torch itself included; None where unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", (_SELF / "status").read_text(encoding="ascii"))
    except OSError:
        return None
    return 1024 * int(found[1]) if found else None

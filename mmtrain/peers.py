"""The processes of one run: who they are, and the few things they tell one another.

Started by `torchrun`. Gradients travel through DistributedDataParallel; everything here is small and travels over gloo,
so that counting samples or agreeing to stop never waits for a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from mmtrain.errors import PeerError

Item = TypeVar("Item")
_TIMEOUT = timedelta(seconds=120)


class Peers:
    """This process among `size` of the run; alone, every call returns at once."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self._control: distributed.ProcessGroup | None = None

    @property
    def first(self) -> bool:
        """Whether this process writes the files and speaks to the user."""
        return self.rank == 0

    def sum(self, values: Sequence[float]) -> list[float]:
        """Sums of each value over all processes."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        with self.reported():
            distributed.all_reduce(total, group=self._control)
        return list(total.tolist())

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Averages tensors of the model's device in place, as DistributedDataParallel does with gradients."""
        if self.size == 1:
            return
        with self.reported():
            for tensor in tensors:
                distributed.all_reduce(tensor)
                tensor /= self.size

    def gather(self, item: Item) -> list[Item]:
        """What every process has, in the order of ranks."""
        if self.size == 1:
            return [item]
        items: list[Item | None] = [None] * self.size
        with self.reported():
            distributed.all_gather_object(items, item, group=self._control)
        return [item for item in items if item is not None]

    def from_first(self, item: Item) -> Item:
        """What the first process has."""
        return self.gather(item)[0]

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The model whose backward pass averages gradients over the processes.

        A process whose rows all lack a modality skips that encoder: unused parameters are looked for at each step.
        """
        if self.size == 1:
            return model
        ids = [device.index] if device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=ids, find_unused_parameters=True)

    def synchronised(self, model: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Holds the exchange of gradients back until the last part of a step."""
        if isinstance(model, DistributedDataParallel) and not last:
            return model.no_sync()
        return nullcontext()

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Turns the failure of a collective into one line.

        Raises:
            PeerError: Another process has ended or did not answer in time.
        """
        try:
            yield
        except RuntimeError as error:
            if self.size == 1 or not _is_lost_connection(error):
                raise
            raise PeerError(
                f"process {self.rank} of {self.size} lost its peers ({str(error).splitlines()[0][:160]}); the last "
                "checkpoint is whole: start the same command again with `resume`."
            ) from error


@contextmanager
def joined(device: torch.device | None = None) -> Iterator[Peers]:
    """The processes that `torchrun` has started, or this one alone; leaves the group at the end.

    Args:
        device: CUDA devices exchange gradients over nccl, all others over gloo; None: no gradients will be.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or distributed.is_initialized():
        yield Peers()
        return
    peers = Peers(int(os.environ["RANK"]), size)
    on_gpu = device is not None and device.type == "cuda"
    distributed.init_process_group("nccl" if on_gpu else "gloo", timeout=_TIMEOUT)
    if on_gpu:
        control = distributed.new_group(backend="gloo", timeout=_TIMEOUT)
        peers._control = control if isinstance(control, distributed.ProcessGroup) else None
    try:
        yield peers
    finally:
        distributed.destroy_process_group()


def _is_lost_connection(error: RuntimeError) -> bool:
    words = ("gloo", "Connection closed", "connectFullMesh", "NCCL", "Timed out", "reset by peer", "Broken pipe")
    return any(word in str(error) for word in words)


def local_processes() -> int:
    """Processes of this run on this machine, as torchrun says."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))

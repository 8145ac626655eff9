"""Processes that train one network together, each on its share of every batch.

All random choices are keyed by (seed, sample), so a share needs no state of its own: process ``r``
of ``P`` takes a contiguous part of the batch that one process would take, and the gradients add up
to the same, to rounding. ``torchrun`` starts the processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

import torch
import torch.distributed as dist
from torch import Tensor

from fdiff.backends.torch import device_named

CPU = torch.device("cpu")
FAILED = "fdiff/failed"  # counts the processes that failed, in the store that all share


class PeerLost(ConnectionError):
    """Another process of the training is gone."""


@final
@dataclass(frozen=True)
class Team:
    """This process among those that train together; alone by default."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @property
    def leads(self) -> bool:
        """Whether this process writes the files and shows the progress."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """This process's part of ``count`` samples; shares differ by one at most."""
        return range(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def add(self, values: Tensor) -> Tensor:
        """``values`` summed over the processes, in place; the same bits in each."""
        if self.size > 1:
            with _partners():
                dist.all_reduce(values)
        return values

    def wait(self) -> None:
        """Go on when every process has come here."""
        if self.size > 1:
            with _partners():
                dist.barrier()


@contextmanager
def team(device: str | torch.device | None = None) -> Iterator[Team]:
    """The processes that ``torchrun`` started, or this one alone.

    ``device``: "cpu" (the default; gloo connects the processes) or "cuda" (nccl; each process takes
    the GPU of its local rank). A process group that exists already is used as it is.

    An error in one process ends all: the first that fails raises it, so that one message appears;
    the others, which it leaves in the lurch, exit with status 1.

    Raises:
        ValueError: a device that is not here, or cannot be used.
    """
    count = int(os.environ.get("WORLD_SIZE", 1))
    own = str(device) == "cuda" and (count > 1 or dist.is_initialized())
    where = device_named(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if own else device)
    if own:
        torch.cuda.set_device(where)
    if dist.is_initialized():
        yield Team(dist.get_rank(), dist.get_world_size(), where)
        return
    if count == 1:
        yield Team(device=where)
        return
    store, rank, size = next(iter(dist.rendezvous("env://")))
    backend = "nccl" if where.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    try:
        yield Team(rank, size, where)
    except (Exception, KeyboardInterrupt) as error:
        if not _is_first(store):
            raise SystemExit(1) from error
        raise
    finally:
        dist.destroy_process_group()


def _is_first(store) -> bool:
    """Whether no other process has failed before."""
    try:
        return store.add(FAILED, 1) == 1
    except RuntimeError:  # the store went with the process that kept it
        return False


@contextmanager
def _partners() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise PeerLost(
            "another process of this training has ended; torchrun's report names it"
        ) from error

"""The processes that train together, and the few things they have to agree on."""

import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from ..errors import DeviceError

PATIENCE = timedelta(hours=6)
"""How long processes wait for the first one while it validates; a process that died is noticed at once."""

LOOK = 0.5
"""Seconds between two looks for the process that started this one."""

GRACE = 120
"""Seconds to save once it is gone."""

LAUNCHER = "MAMBAIR_LAUNCHER"
"""Names the process that started this one, which may be gone before this one has begun to look."""

GONE = "Another process of this training is gone"


@dataclass(frozen=True)
class Processes:
    """This process among those that train together."""

    rank: int = 0
    local_rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and prints."""
        return self.rank == 0


def is_gone(error: BaseException) -> bool:
    """Whether an exception means that another process no longer answers."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def here() -> Processes:
    """This process as torchrun's variables describe it; alone without them."""
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
    if not all(name in os.environ for name in names):
        return Processes()
    return Processes(*(int(os.environ[name]) for name in names))


@contextmanager
def joined(processes: Processes) -> Iterator[None]:
    """Be connected to the other processes: NCCL between GPUs, gloo between CPUs.

    Raises:
        DeviceError: they cannot be reached, or there are more processes than GPUs.
    """
    if processes.world == 1:
        yield
        return
    cuda = torch.cuda.is_available()
    if cuda:
        if processes.local_rank >= torch.cuda.device_count():
            raise DeviceError(
                f"There is no GPU for process {processes.rank}: this machine has {torch.cuda.device_count()}.",
                "Give a smaller --nproc or --nproc-per-node.",
            )
        torch.cuda.set_device(processes.local_rank)
    _end_with(int(os.environ.get(LAUNCHER, os.getppid())))
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")  # costs a copy, no more
    try:
        dist.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
    except (dist.DistError, RuntimeError, ValueError) as error:
        raise DeviceError(
            f"Process {processes.rank} of {processes.world} cannot reach the others at "
            f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}: {str(error).splitlines()[0]}",
            "Choose a free port (torchrun --master-port), or let mambair train --nproc find one.",
        ) from error
    try:
        yield
        dist.barrier()  # nobody hangs up on the first one, which has more to write
    finally:
        dist.destroy_process_group()


def _end_with(launcher: int) -> None:
    """Have a thread end this process, saved, once the one that started it is gone: nobody could end it any more."""

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(LOOK)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(128 + signal.SIGTERM)  # it waits for another process that is gone, too

    if launcher > 1 and os.name == "posix":
        threading.Thread(target=watch, daemon=True).start()


def largest(value: int, processes: Processes, device: torch.device) -> int:
    """The largest of all processes' values."""
    if processes.world == 1:
        return value
    tensor = torch.tensor(value, device=device)
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return int(tensor)


def gathered(value: Any, processes: Processes) -> list[Any]:
    """Every process's value, by rank."""
    values: list[Any] = [value] * processes.world
    if processes.world > 1:
        dist.all_gather_object(values, value)
    return values

"""How much memory there is, and which tile fits into it."""

from pathlib import Path

import psutil
import torch

CGROUP = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
RESERVE = 192 << 20
"""Bytes left for code, buffers of the scan and the allocator."""


def available(device: torch.device) -> int:
    """Free bytes for tensors on ``device``: for a CPU the smaller of free memory and what the cgroup leaves."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min([psutil.virtual_memory().available, *_cgroup_room()])


def _cgroup_room() -> list[int]:
    """Bytes left under every memory limit of this process' control groups (version 2, Linux)."""
    try:
        own = next(line[3:] for line in OWN_CGROUP.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return []
    rooms = []
    folder = CGROUP / own.strip("/")
    for group in (folder, *folder.parents):
        limit, usage = group / "memory.max", group / "memory.current"
        if limit.is_file() and (text := limit.read_text().strip()) != "max":
            rooms.append(max(0, int(text) - int(usage.read_text())))
        if group == CGROUP:
            break
    return rooms


def needed(tile: int, bytes_per_pixel: int) -> int:
    """Bytes that a square tile takes at most."""
    return RESERVE + tile * tile * bytes_per_pixel


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that an allocation failed, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)

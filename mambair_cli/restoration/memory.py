"""How much memory there is, and which tile fits into it."""

import ctypes
import platform
import re
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import torch

CGROUP = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESERVE = 192 << 20
"""Bytes left for code, buffers of the scan and the allocator."""

SIGNS = (
    "Failed to allocate memory",
    "can't allocate memory",
    "std::bad_alloc",
    "could not create a memory object",
    "out of memory",
    "STATUS_ALLOC_FAILED",
)
"""What the allocators of torch, C++, oneDNN, CUDA, cuDNN, cuBLAS and onnxruntime say in a plain RuntimeError."""


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)


def keep_freed_memory() -> None:
    """Let glibc reuse large blocks instead of giving them back after every layer; does nothing elsewhere.

    Fresh pages have to be zeroed and mapped by the kernel again each time, which costs a network of many small layers
    about a tenth of its time.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


def available(device: torch.device) -> int:
    """Free bytes for tensors on ``device``: for a CPU the smaller of free memory and what the cgroup leaves."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min([psutil.virtual_memory().available, *_cgroup_room()])


def _cgroup_room() -> list[int]:
    """Bytes left under every memory limit of this process' control groups (Linux, versions 1 and 2).

    Cached file pages count as free, because the kernel gives them up before it refuses memory.
    """
    try:
        lines = [line.split(":", 2) for line in OWN_CGROUP.read_text().splitlines()]
    except OSError:
        return []
    rooms = []
    for _, controllers, path in lines:
        if controllers == "":
            rooms += _rooms(CGROUP, path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            rooms += _rooms(CGROUP / "memory", path, *names)
    return rooms


def _rooms(root: Path, path: str, limit: str, usage: str, reclaimable: str) -> list[int]:
    """Room under the limits of one group and all that enclose it."""
    folder = root / path.strip("/")
    rooms = []
    for group in (folder, *folder.parents):
        if (group / limit).is_file() and (most := (group / limit).read_text().strip()) != "max":
            statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            used = int((group / usage).read_text()) - int(statistics.get(reclaimable, 0))
            rooms.append(max(0, int(most) - used))
        if group == root:
            break
    return rooms


def forget_peak(device: torch.device) -> None:
    """Start to watch the peak anew, where the system can do that."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif FORGET.exists():
        with suppress(OSError):  # some containers refuse; the peak is then that of the whole life
            FORGET.write_text("5")  # proc(5): reset the peak resident set size


def peak(device: torch.device) -> int:
    """Most bytes in use since :func:`forget_peak`: of tensors on a GPU, else of the process.

    Of its whole life where the peak cannot be forgotten; what is in use now where the system knows no peak.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if STATUS.exists() and (found := re.search(r"^VmHWM:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)):
        return int(found[1]) << 10
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes, unlike Linux
    information = psutil.Process().memory_info()
    return int(getattr(information, "peak_wset", information.rss))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that an allocation failed, on any device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)

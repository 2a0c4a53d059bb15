"""Whole networks per scan backend: seconds per input megapixel and peak memory, beside EDSR-baseline.

python -m benchmarks.restore --network light --sizes 64 128 --backends published chunked --repeats 3 [--json FILE]

All candidates of a size run in turn within one process, so that they meet the same machine; medians are printed. The
share of the peak counts multiply-accumulates by the convention of the published tables.
Memory is the growth of the peak of a process of its own, per input pixel.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import published_backend
from mambair_archs import MambaIR, MambaIRNano, MambaIRv2Light
from mambair_archs.complexity import macs
from mambair_archs.network import Network
from mambair_cli.restoration.memory import forget_peak, keep_freed_memory, peak
from mambair_cli.restoration.yardstick import edsr_baseline
from mambair_kernels import dispatch
from mambair_kernels.cpu import native

NETWORKS: dict[str, Callable[[], Network]] = {
    "light": lambda: MambaIR(upscale=4, d_state=10, mlp_ratio=1.2, upsampler="pixelshuffledirect"),
    "nano": lambda: MambaIRNano(upscale=4, depth=8),
    "classic": lambda: MambaIR(upscale=4, embed_dim=180, depths=(6,) * 6, mlp_ratio=2.0, upsampler="pixelshuffle"),
    "v2-light": lambda: MambaIRv2Light(
        upscale=4, embed_dim=48, d_state=8, depths=(5,) * 4, mlp_ratio=1.0, upsampler="pixelshuffledirect"
    ),
}
EDSR = "edsr-baseline"
CPU = torch.device("cpu")


def candidate(network: str, backend: str) -> Callable[[Tensor], Tensor]:
    """A function that runs ``network`` on ``backend``, or EDSR-baseline in channels_last."""
    torch.manual_seed(0)
    if backend == EDSR:
        return edsr_baseline(CPU)
    model = NETWORKS[network]().eval()

    def run(x: Tensor) -> Tensor:
        os.environ[dispatch.VARIABLE] = backend
        out: Tensor = model(x)
        return out

    return run


def seconds(run: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Wall time of one forward pass."""
    started = time.perf_counter()
    with torch.inference_mode():
        run(x)
    return time.perf_counter() - started


def measure(network: str, size: int, backends: list[str], repeats: int) -> list[dict[str, Any]]:
    """Interleaved timings of one size, the first of ``backends`` being the baseline of the ratios.

    In each round a fast candidate runs for about a second, so that its median is not that of the first runs after a
    slow one has filled the caches.
    """
    x = torch.rand(1, 3, size, size)
    runs = {backend: candidate(network, backend) for backend in backends}
    taken: dict[str, list[float]] = {backend: [] for backend in backends}
    peaks: list[float] = []
    for repeat in range(repeats + 1):
        if native.available()[0]:
            peaks.append(native.peak_flops(torch.get_num_threads()))
        for backend, run in runs.items():
            elapsed = seconds(run, x)
            if repeat or elapsed > 5:  # the first round warms up, unless it takes so long that warmth is no matter
                taken[backend] += [elapsed, *(seconds(run, x) for _ in range(int(1 / elapsed)))]
    baseline = statistics.median(taken[backends[0]])
    operations = 2 * macs(NETWORKS[network](), size, size)
    return [
        {
            "network": network,
            "size": size,
            "backend": backend,
            "seconds": statistics.median(times),
            "seconds_per_megapixel": statistics.median(times) / size**2 * 1e6,
            "speedup": baseline / statistics.median(times),
            "share_of_peak": operations / statistics.median(times) / statistics.median(peaks)
            if peaks and backend != EDSR
            else None,
        }
        for backend, times in taken.items()
    ]


def peak_bytes_per_pixel(network: str, size: int, backend: str) -> float:
    """Growth of the peak resident set during one forward pass in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.restore", "--memory-of", network, str(size), backend]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(output) / size**2


def _memory_of(network: str, size: int, backend: str) -> None:
    run = candidate(network, backend)
    with torch.inference_mode():
        run(torch.rand(1, 3, 16, 16))
        forget_peak(CPU)
        before = peak(CPU)
        run(torch.rand(1, 3, size, size))
    print(peak(CPU) - before)


def main() -> None:
    """Print a table, and write JSON on request."""
    published_backend.register()
    keep_freed_memory()
    if sys.argv[1:2] == ["--memory-of"]:
        return _memory_of(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, default="light")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--backends", nargs="+", default=["published", "chunked", EDSR])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    print(
        f"{'network':9} {'size':>5} {'backend':14} {'seconds':>9} {'s/Mpixel':>9} {'speedup':>8} {'of peak':>8} "
        f"{'KiB/pixel':>9}"
    )
    for size in arguments.sizes:
        for row in measure(arguments.network, size, arguments.backends, arguments.repeats):
            if arguments.memory:
                row["bytes_per_pixel"] = peak_bytes_per_pixel(row["network"], size, row["backend"])
            memory = f"{row['bytes_per_pixel'] / 1024:9.2f}" if "bytes_per_pixel" in row else ""
            share = "" if row["share_of_peak"] is None else f"{row['share_of_peak']:.1%}"
            print(
                f"{row['network']:9} {size:5} {row['backend']:14} {row['seconds']:9.3f}"
                f" {row['seconds_per_megapixel']:9.1f} {row['speedup']:8.1f} {share:>8} {memory}"
            )
            rows.append(row)
    if arguments.json:
        arguments.json.write_text(json.dumps({"threads": torch.get_num_threads(), "rows": rows}, indent=1))
    return None


if __name__ == "__main__":
    main()

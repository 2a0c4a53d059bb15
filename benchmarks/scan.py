"""Every scan backend against the published reference scan: time, ratio, and share of this machine's peak.

python -m benchmarks.scan [--repeats 5] [--training] [--json FILE]

One process, baseline and candidates interleaved, medians. The peak is the rate of fp32 multiply-adds that the native
library reaches on registers alone, measured between the runs with the same number of threads. Work is counted as it is
executed: per channel and state 19 FLOP (13 of them the exponential), plus the projections; 80.0 kFLOP per pixel for the
light network.
"""

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import published_scan
from mambair_cli.restoration.memory import keep_freed_memory
from mambair_kernels import CROSS_SCAN, dispatch
from mambair_kernels.cpu import native

PATHS = len(CROSS_SCAN)
DEVICE = torch.device("cpu")
SOFTPLUS_FLOP = 32  # exponential 13, logarithm 18, sum


@dataclass(frozen=True)
class Case:
    """The scan of one layer of a network on one square image."""

    name: str
    size: int
    channels: int
    d_state: int
    dt_rank: int

    @property
    def flop(self) -> float:
        """Floating-point operations of one scan."""
        scan = 19 * self.channels * self.d_state
        projections = 2 * self.channels * (self.dt_rank + 2 * self.d_state + self.dt_rank)
        return float(PATHS * self.size**2 * (scan + projections + SOFTPLUS_FLOP * self.channels))

    def tensors(self) -> list[Tensor]:
        """x, x_proj, dt_proj, dt_bias, A_log, D with the statistics of a fresh network."""
        generator = torch.Generator().manual_seed(0)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        return [
            draw(1, self.size, self.size, self.channels),
            draw(PATHS, self.dt_rank + 2 * self.d_state, self.channels) / self.channels**0.5,
            draw(PATHS, self.channels, self.dt_rank) / self.dt_rank**0.5,
            draw(PATHS, self.channels) - 3,
            torch.arange(1.0, self.d_state + 1).log().repeat(PATHS * self.channels, 1),
            torch.ones(PATHS * self.channels),
        ]


CASES = (
    Case("light 64", 64, 72, 10, 4),
    Case("light 128", 128, 72, 10, 4),
    Case("classic 64", 64, 360, 16, 12),
)


@dataclass(frozen=True)
class Row:
    """One line of the table; times in milliseconds."""

    case: str
    backend: str
    forward: float
    ratio: float
    share_of_peak: float | None
    forward_backward: float | None


Scan = Callable[..., Tensor]


def elapsed(scan: Scan, tensors: list[Tensor]) -> float:
    """Seconds of one forward pass."""
    started = time.perf_counter()
    with torch.no_grad():
        scan(*tensors, CROSS_SCAN, None)
    return time.perf_counter() - started


def elapsed_training(scan: Scan, tensors: list[Tensor]) -> float:
    """Seconds of one forward and backward pass through every input."""
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    started = time.perf_counter()
    y = scan(*leaves, CROSS_SCAN, None)
    torch.autograd.grad(y, leaves, torch.ones_like(y))
    return time.perf_counter() - started


def published(*arguments: Tensor) -> Tensor:
    """The baseline, whose paths are fixed."""
    y: Tensor = published_scan.cross_scan_core(*arguments[:6])
    return y


def candidates() -> dict[str, Scan]:
    """The usable backends that are meant for speed."""
    return {
        backend.name: backend.scan_2d
        for backend in dispatch.BACKENDS
        if backend.automatic and backend.accepts(DEVICE, torch.float32)[0]
    }


def measure(case: Case, repeats: int, training: bool) -> list[Row]:
    """Baseline and backends in turn, ``repeats`` times; the native one is fast enough for several runs per turn."""
    tensors, scans = case.tensors(), {"published": published, **candidates()}
    times: dict[str, list[float]] = defaultdict(list)
    peaks: list[float] = []
    for _ in range(repeats):
        if native.available()[0]:
            peaks.append(native.peak_flops(torch.get_num_threads()))
        for name, scan in scans.items():
            calls = 20 if name == "cpu" else 1
            times[name] += [elapsed(scan, tensors) for _ in range(calls)]
            if training and scan is not published:  # whose backward takes time quadratic in the length
                times[f"{name} training"] += [elapsed_training(scan, tensors) for _ in range(calls)]
    return [row(case, name, times, peaks) for name in scans]


def row(case: Case, name: str, times: dict[str, list[float]], peaks: list[float]) -> Row:
    """Medians of one backend."""
    seconds, training = statistics.median(times[name]), times.get(f"{name} training")
    return Row(
        case.name,
        name,
        forward=seconds * 1e3,
        ratio=statistics.median(times["published"]) / seconds,
        share_of_peak=case.flop / seconds / statistics.median(peaks) if peaks else None,
        forward_backward=statistics.median(training) * 1e3 if training else None,
    )


def line(row: Row) -> str:
    """A row as text."""
    share = "" if row.share_of_peak is None else f"{row.share_of_peak:7.1%}"
    both = "" if row.forward_backward is None else f"{row.forward_backward:9.2f}"
    return f"{row.case:12}{row.backend:12}{row.forward:11.2f}{row.ratio:9.1f}x{share:>9}{both:>11}"


def main() -> None:
    """Print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--training", action="store_true", help="also time forward and backward together")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    keep_freed_memory()  # as the commands do
    print(f"{torch.get_num_threads()} threads; native: {native.available()[1]}")
    print(f"{'case':12}{'backend':12}{'forward ms':>11}{'ratio':>10}{'of peak':>9}{'fwd+bwd':>11}")
    rows: list[Row] = []
    for case in CASES:
        measured = measure(case, arguments.repeats, arguments.training)
        print("\n".join(line(each) for each in measured), flush=True)
        rows += measured
    if arguments.json:
        report = {
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "rows": [asdict(each) for each in rows],
        }
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()

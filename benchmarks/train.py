"""Training steps of MambaIR-light x2 on 64-pixel inputs: seconds and peak memory, against inference of the same batch.

python -m benchmarks.train [--backends cpu chunked] [--batches 1 8] [--repeats 3] [--json FILE]

A step is forward, L1 loss, backward and Adam. Steps and inferences take turns in one process; medians are printed.
"""

import argparse
import json
import os
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mambair_archs import MambaIR
from mambair_cli.restoration.memory import keep_freed_memory
from mambair_kernels import dispatch

SIZE, SCALE = 64, 2


def network() -> nn.Module:
    """MambaIR-light x2 as published."""
    torch.manual_seed(0)
    return MambaIR(upscale=SCALE, d_state=10, mlp_ratio=1.2, upsampler="pixelshuffledirect")


def timed(run: Callable[[], Any]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def step(model: nn.Module, optimizer: torch.optim.Optimizer, low: Tensor, high: Tensor) -> None:
    """One training step."""
    optimizer.zero_grad(set_to_none=True)
    loss = F.l1_loss(model.train()(low), high)
    loss.backward()
    optimizer.step()


@torch.inference_mode()
def infer(model: nn.Module, low: Tensor) -> None:
    """One inference of the whole batch."""
    model.eval()(low)


def measure(backend: str, batch: int, repeats: int) -> dict[str, Any]:
    """Medians for one backend and batch size."""
    os.environ[dispatch.VARIABLE] = backend
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 2e-4)
    low, high = torch.rand(batch, 3, SIZE, SIZE), torch.rand(batch, 3, SIZE * SCALE, SIZE * SCALE)
    steps, inferences = [], []
    for repeat in range(repeats + 1):
        taken = timed(lambda: step(model, optimizer, low, high)), timed(lambda: infer(model, low))
        if repeat:
            steps.append(taken[0])
            inferences.append(taken[1])
    return {
        "backend": backend,
        "batch": batch,
        "step_seconds": statistics.median(steps),
        "inference_seconds": statistics.median(inferences),
        "step_per_three_inferences": statistics.median(steps) / (3 * statistics.median(inferences)),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def main() -> None:
    """Print a table, and write JSON on request."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", nargs="+", default=[dispatch.select(torch.device("cpu")).name])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    print(f"{'backend':10} {'batch':>5} {'step s':>8} {'infer s':>8} {'step/3 infer':>12} {'peak MiB':>8}")
    for backend in arguments.backends:
        for batch in arguments.batches:
            row = measure(backend, batch, arguments.repeats)
            print(
                f"{backend:10} {batch:5} {row['step_seconds']:8.3f} {row['inference_seconds']:8.3f}"
                f" {row['step_per_three_inferences']:12.2f} {row['peak_bytes'] >> 20:8}"
            )
            rows.append(row)
    if arguments.json:
        arguments.json.write_text(json.dumps({"threads": torch.get_num_threads(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()

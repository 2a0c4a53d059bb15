"""``mambair bench``: how fast this machine restores, per scan backend."""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from ..console import Console
from .common import command

ROUNDS = 3


def _bench(
    console: Console,
    size: Annotated[int, typer.Option("--size", min=16, max=1024, metavar="PIXELS", help="Edge of the input.")] = 64,
) -> None:
    """Time the light networks on every usable scan backend, taking turns."""
    import torch
    from rich.table import Table

    from mambair_archs import MambaIR, MambaIRv2Light

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    v2: dict[str, Any] = {"embed_dim": 48, "depths": (5,) * 4, "d_state": 8, "mlp_ratio": 1.0}
    networks = {
        "MambaIR-light x4": MambaIR(upscale=4, d_state=10, mlp_ratio=1.2, upsampler="pixelshuffledirect"),
        "MambaIRv2-light x4": MambaIRv2Light(upscale=4, upsampler="pixelshuffledirect", **v2),
    }
    rows: list[dict[str, Any]] = []
    with console.progress("bench") as progress:
        for number, (name, network) in enumerate(networks.items()):
            rows += _measure(name, network.eval().to(device), torch.rand(1, 3, size, size, device=device))
            progress(number + 1, len(networks))
    table = Table("Network", "Backend", "Seconds", "Seconds per input megapixel", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row["network"], row["backend"], f"{row['seconds']:.3f}", f"{row['seconds_per_megapixel']:.1f}")
    console.table(table, {"device": str(device), "size": size, "rows": rows})


def _measure(name: str, network: Callable[[Any], Any], x: Any) -> Iterator[dict[str, Any]]:
    """Median seconds per backend, interleaved; the first round only warms up."""
    import torch

    from mambair_kernels import dispatch

    backends = [row.name for row in dispatch.verdicts(x.device) if row.usable and row.name != "reference"]
    taken: dict[str, list[float]] = {backend: [] for backend in backends}
    for _ in range(ROUNDS + 1):
        for backend in backends:
            with _forced(dispatch.VARIABLE, backend), torch.inference_mode():
                started = time.perf_counter()
                network(x).sum().item()  # waits for a device that computes in the background
                taken[backend].append(time.perf_counter() - started)
    for backend, times in taken.items():
        seconds = statistics.median(times[1:])
        per_megapixel = seconds / (x.shape[2] * x.shape[3]) * 1e6
        yield {"network": name, "backend": backend, "seconds": seconds, "seconds_per_megapixel": per_megapixel}


@contextmanager
def _forced(variable: str, value: str) -> Iterator[None]:
    before = os.environ.get(variable)
    os.environ[variable] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


bench = command(_bench)

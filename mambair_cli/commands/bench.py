"""``mambair bench``: how fast this machine restores."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from ..console import Console
from .common import command
from .options import Device

ROUNDS = 3


def _bench(
    console: Console,
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL]...", help="Names or files. Default: the models that come with mambair."),
    ] = None,
    size: Annotated[int, typer.Option("--size", min=16, max=4096, metavar="PIXELS", help="Edge of the input.")] = 256,
    device: Device = "auto",
    backends: Annotated[
        bool, typer.Option("--backends", help="Compare the scan backends on the light networks instead.")
    ] = False,
) -> None:
    """Say how many megapixels a minute models restore here, beside EDSR-baseline.

    All take turns on noise; medians. Nothing else should run meanwhile.

    Example: mambair bench mambair-nano-x4 --size 512
    """
    from ..errors import UsageError

    if backends and models:
        raise UsageError("--backends compares fixed networks, not models.", "Leave out one of the two.")
    if backends:
        _backends(console, size, device)
    else:
        _models(console, models or [], size, device)


def _models(console: Console, names: list[str], size: int, device: str) -> None:
    from dataclasses import asdict

    from rich.table import Table

    from ..restoration.memory import keep_freed_memory
    from ..restoration.speed import measure
    from ..weights import catalog, loader

    keep_freed_memory()
    chosen = names or [entry.name for entry in catalog.entries() if entry.bundled]
    rows = measure([loader.load(name, device) for name in chosen], size, ROUNDS)
    table = Table("Model", "Megapixels a minute", "s/Mpx", "Times EDSR-baseline", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row.name, f"{row.megapixels_per_minute:.1f}", f"{row.seconds:.2f}", f"{row.times_yardstick:.2f}")
    records = [asdict(row) | {"megapixels_per_minute": row.megapixels_per_minute} for row in rows]
    console.table(table, _machine(device) | {"size": size, "rows": records})


def _machine(device: str) -> dict[str, Any]:
    """What the figures depend on."""
    import torch

    from mambair_kernels.cpu import native

    from ..restoration.speed import processor
    from ..weights.model import resolve_device

    chosen = resolve_device(device)
    if chosen.type == "cuda":
        return {"device": str(chosen), "processor": torch.cuda.get_device_name(chosen)}
    code = native.available()[1]
    return {"device": str(chosen), "processor": processor(), "code": code, "threads": torch.get_num_threads()}


def _backends(console: Console, size: int, device: str) -> None:
    """Time the light networks on every usable scan backend."""
    import torch
    from rich.table import Table

    from mambair_archs import MambaIR, MambaIRv2Light

    from ..weights.model import resolve_device

    chosen = resolve_device(device)
    v2: dict[str, Any] = {"embed_dim": 48, "depths": (5,) * 4, "d_state": 8, "mlp_ratio": 1.0}
    networks = {
        "MambaIR-light x4": MambaIR(upscale=4, d_state=10, mlp_ratio=1.2, upsampler="pixelshuffledirect"),
        "MambaIRv2-light x4": MambaIRv2Light(upscale=4, upsampler="pixelshuffledirect", **v2),
    }
    rows: list[dict[str, Any]] = []
    with console.progress("bench") as progress:
        for number, (name, network) in enumerate(networks.items()):
            rows += _each_backend(name, network.eval().to(chosen), torch.rand(1, 3, size, size, device=chosen))
            progress(number + 1, len(networks))
    table = Table("Network", "Backend", "Seconds", "s/Mpx", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row["network"], row["backend"], f"{row['seconds']:.3f}", f"{row['seconds_per_megapixel']:.1f}")
    console.table(table, _machine(device) | {"size": size, "rows": rows})


def _each_backend(name: str, network: Any, x: Any) -> Iterator[dict[str, Any]]:
    """Median seconds per backend."""
    import torch

    from mambair_kernels import dispatch

    from ..restoration.speed import medians

    def run(backend: str) -> None:
        with _forced(dispatch.VARIABLE, backend), torch.inference_mode():
            network(x).sum().item()  # waits for a device that computes in the background

    usable = [row.name for row in dispatch.verdicts(x.device) if row.usable and row.name != "reference"]
    for backend, seconds in medians({name: lambda name=name: run(name) for name in usable}, ROUNDS).items():  # type: ignore[misc]
        per_megapixel = seconds / (x.shape[2] * x.shape[3]) * 1e6
        yield {"network": name, "backend": backend, "seconds": seconds, "seconds_per_megapixel": per_megapixel}


@contextmanager
def _forced(variable: str, value: str) -> Iterator[None]:
    import os

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

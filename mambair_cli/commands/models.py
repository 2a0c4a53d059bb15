"""``mambair models``: what is known and what a file holds."""

from pathlib import Path
from typing import Annotated

import typer

from ..console import Console
from .common import command

app = typer.Typer(no_args_is_help=True, help="List known models, or look into a model file.")


def _list(console: Console) -> None:
    """List known models, their published scores and where to get them."""
    from dataclasses import asdict

    from rich.table import Table

    from ..weights import catalog

    table = Table("Name", "Task", "Scale", "Installed", "PSNR (dB)", "Get it", box=None, pad_edge=False)
    for entry in catalog.entries():
        score = ", ".join(f"{name} {value:.2f}" for name, value in list(entry.psnr.items())[:1])
        table.add_row(
            entry.name, entry.task, f"x{entry.scale}", "yes" if entry.installed else "no", score, entry.download
        )
    records = [asdict(entry) | {"installed": entry.installed} for entry in catalog.entries()]
    console.table(table, {"models": records})


def _show(console: Console, file: Annotated[str, typer.Argument(metavar="FILE|NAME", help="A model.")]) -> None:
    """Say which network a model file holds."""
    from mambair_archs import complexity
    from rich.table import Table

    from ..weights import loader

    path, entry = loader.locate(file)
    found, tensors, metadata = loader.inspect(path)
    name, task = (entry.name, entry.task) if entry else loader.recognise(Path(path), metadata)
    network = found.build("meta")
    descriptor = found.descriptor
    record = {
        "name": name,
        "file": str(path),
        "network": found.architecture.name,
        "task": task or sorted(descriptor.tasks),
        "scale": descriptor.scale,
        "channels": descriptor.in_channels,
        "tile": descriptor.tile,
        "parameters": complexity.parameters(network),
        "macs_per_pixel": round(complexity.macs(network, 1024, 1024) / 1024**2),  # type: ignore[arg-type]
        "options": {option: getattr(found.config, option) for option in found.config.__dataclass_fields__},
        "metadata": metadata,
    }
    table = Table(show_header=False, box=None, pad_edge=False)
    for key, value in record.items():
        shown = " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
        table.add_row(key, f"{value:,}" if isinstance(value, int) else shown)
    console.table(table, record)


app.command("list")(command(_list))
app.command("show")(command(_show))

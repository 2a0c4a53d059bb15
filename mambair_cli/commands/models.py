"""``mambair models``: what is known and what a file holds."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..console import Console, harmless
from .common import command
from .erf import erf

app = typer.Typer(no_args_is_help=True, help="List known models, or look into a model file.")


def _list(console: Console) -> None:
    """List known models with their scores and their speed on two processor cores."""
    from dataclasses import asdict

    from rich.table import Table
    from rich.text import Text

    from ..weights import catalog

    titles = ("Name", "Task", "Scale", "Installed", "PSNR", "s/Mpx", "Licence")
    table = Table(*titles, box=None, pad_edge=False, collapse_padding=True)
    groups: dict[str, list[catalog.CatalogEntry]] = {}
    for entry in catalog.entries():
        groups.setdefault("Come with mambair" if entry.bundled else entry.arch, []).append(entry)
    for group, members in groups.items():
        table.add_row(Text(group, style="bold"))
        for entry in members:
            score = next((f"{value:.2f} dB on {name}" for name, value in entry.psnr.items()), "")
            speed = f"{entry.seconds:.1f}" if entry.seconds is not None else ""
            installed = "bundled" if entry.bundled else "yes" if entry.installed else "no"
            row = (entry.task, f"x{entry.scale}", installed, score, speed, entry.licence)
            table.add_row(f"  {entry.name}", *row)
    records = [asdict(entry) | {"installed": entry.installed} for entry in catalog.entries()]
    console.table(table, {"models": records})
    console.note("s/Mpx: seconds per million pixels of input. mambair fetch NAME gets a model that is not installed.")


def _show(console: Console, file: Annotated[str, typer.Argument(metavar="FILE|NAME", help="A model.")]) -> None:
    """Say which network a model file holds."""
    from rich.table import Table
    from rich.text import Text

    from ..weights.loader import UnknownNetworkError

    try:
        record = _of_other(file) if file.lower().endswith(".onnx") else _of_weights(file)
    except UnknownNetworkError:
        record = _of_other(file)
    table = Table(show_header=False, box=None, pad_edge=False)
    for key, value in record.items():
        shown = " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
        table.add_row(
            key, Text(f"{value:,}" if isinstance(value, int) else harmless(shown))
        )  # as it stands, not as markup
    console.table(table, record)


def _of_other(file: str) -> dict[str, Any]:
    """Of a file of ONNX, or a network that is none of ours."""
    from ..weights import loader

    model = loader.load(file, "cpu")
    return {
        "name": model.name,
        "file": file,
        "network": model.architecture,
        "task": model.task or sorted(model.descriptor.tasks),
        "scale": model.descriptor.scale,
        "channels": model.descriptor.in_channels,
        "tile": model.descriptor.tile,
    }


def _of_weights(file: str) -> dict[str, Any]:
    from dataclasses import asdict

    from mambair_archs import complexity

    from ..weights import loader

    path, entry = loader.locate(file)
    found, _, metadata = loader.inspect(path)
    name, task = (entry.name, entry.task) if entry else loader.recognise(Path(path), metadata)
    network = found.build("meta")
    descriptor = found.descriptor
    return {
        "name": name,
        "file": str(path),
        "network": found.architecture.name,
        "task": task or sorted(descriptor.tasks),
        "scale": descriptor.scale,
        "channels": descriptor.in_channels,
        "tile": descriptor.tile,
        "parameters": complexity.parameters(network),
        "macs_per_pixel": round(complexity.macs(network, 1024, 1024) / 1024**2),
        "options": asdict(found.config),
        "metadata": metadata,
    }


def _export(
    console: Console,
    source: Annotated[str, typer.Argument(metavar="FILE|NAME", help="A model.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.safetensors|FOLDER", help="Where to write it.")],
    name: Annotated[str | None, typer.Option("--name", help="Name it carries. Default: the one it has.")] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="What it is for: upscale, denoise, dejpeg or dehaze.")
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Store 16-bit floats: half the size.")] = False,
    hub: Annotated[
        bool, typer.Option("--hub", help="Write a folder for the Hugging Face hub: weights, config.json and a card.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
) -> None:
    """Write a model as .safetensors: tensors alone, the averaged ones if there are any, with its name and task.

    Example: mambair models export net_g_latest.pth mine.safetensors --task upscale --half
    """
    if hub:
        from ..export import hub as folders

        written = folders.export(source, target, name=name, task=task, half=half, overwrite=overwrite)
        console.data(str(target), {"output": str(target), "files": [str(path) for path in written]})
        return
    from ..weights.export import export

    export(source, target, name=name, task=task, half=half, overwrite=overwrite)
    console.data(str(target), {"output": str(target), "bytes": target.stat().st_size})


app.command("list")(command(_list))
app.command("show")(command(_show, extensible=True))
app.command("export")(command(_export, extensible=True))
app.command("erf")(command(erf, extensible=True))

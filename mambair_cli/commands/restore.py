"""The commands that restore pictures: one pipeline, four tasks."""

import difflib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from ..console import Console
from ..errors import MambairError, ModelError, UsageError
from .common import check_backend, command, stop_if_interrupted

if TYPE_CHECKING:
    from ..restoration.batch import Job, Result
    from ..weights.loader import Model

Inputs = Annotated[list[str], typer.Argument(metavar="IN...", help="Image files, folders or glob patterns.")]
Output = Annotated[
    str | None,
    typer.Option("-o", "--output", metavar="FILE|FOLDER", help="Where to write. Default: beside the input, as PNG."),
]
ModelName = Annotated[
    str | None, typer.Option("--model", metavar="NAME|FILE", help="Model by name, or a .safetensors or .pth file.")
]
Scale = Annotated[int | None, typer.Option("--scale", metavar="N", help="Enlargement. Default: the model's.")]
Tile = Annotated[
    int | None,
    typer.Option("--tile", metavar="PIXELS", help="Tile edge, 0 for the whole image. Default: the model's."),
]
Overlap = Annotated[int | None, typer.Option("--overlap", metavar="PIXELS", help="Overlap of tiles. Default: 32.")]
Device = Annotated[str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:1, ...")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]


def _upscale(
    console: Console,
    inputs: Inputs,
    output: Output = None,
    scale: Scale = None,
    model: ModelName = None,
    tile: Tile = None,
    overlap: Overlap = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Enlarge pictures with a super-resolution model.

    Example: mambair upscale holiday.jpg --scale 4 --model mambairv2_lightSR_x4.pth
    """
    _restore(console, "upscale", inputs, output, scale, model, tile, overlap, device, overwrite)


upscale = command(_upscale)


def _task(task: str, help_text: str) -> Callable[..., None]:
    def run(
        console: Console,
        inputs: Inputs,
        output: Output = None,
        model: ModelName = None,
        tile: Tile = None,
        overlap: Overlap = None,
        device: Device = "auto",
        overwrite: Overwrite = False,
    ) -> None:
        _restore(console, task, inputs, output, None, model, tile, overlap, device, overwrite)

    run.__doc__ = f"{help_text}\n\nExample: mambair {task} photo.jpg --model FILE"
    return command(run)


denoise = _task("denoise", "Remove noise from pictures.")
dejpeg = _task("dejpeg", "Remove JPEG artefacts from pictures.")
dehaze = _task("dehaze", "Remove haze from pictures.")


def _restore(
    console: Console,
    task: str,
    inputs: list[str],
    output: str | None,
    scale: int | None,
    model: str | None,
    tile: int | None,
    overlap: int | None,
    device: str,
    overwrite: bool,
) -> None:
    name = known_model(model) if model else _default_model(task, scale)
    from ..restoration import batch
    from ..restoration.memory import keep_freed_memory
    from ..restoration.model import settings
    from ..weights.loader import load

    keep_freed_memory()
    loaded = load(name, device)
    _check(console, loaded, task, scale)
    check_backend(loaded.device)
    settings(loaded, tile, overlap)
    plan = batch.plan(inputs, output, batch.suffix(task, loaded.descriptor.scale))
    if plan.left_out:
        console.note(f"Left out, being results of earlier runs: {', '.join(map(str, plan.left_out))}.")
    failed = []
    for number, job in enumerate(plan.jobs, start=1):
        result = _one(console, job, loaded, (tile, overlap), overwrite, f"{number}/{len(plan.jobs)} {job.source.name}")
        if result.error is not None:
            stop_if_interrupted()
            failed.append(result)
    if failed and len(plan.jobs) > 1:
        names = ", ".join(result.input for result in failed)
        raise MambairError(f"{len(failed)} of {len(plan.jobs)} files failed: {names}.", "See the messages above.")
    if failed:
        raise typer.Exit(1)


def _one(
    console: Console, job: "Job", model: "Model", tiling: tuple[int | None, int | None], overwrite: bool, title: str
) -> "Result":
    from ..restoration import batch

    with console.progress(title) as progress:
        result = batch.run(job, model, *tiling, overwrite, progress)
    for warning in result.retries + result.notes:
        console.warn(f"{job.source}: {warning}")
    if result.error is None:
        console.note(
            f"{job.source} ({result.width} x {result.height}) in {result.seconds:.1f} s"
            f" with {model.name}, {result.tiles} tile{'s' if result.tiles != 1 else ''} of {result.tile} pixels"
        )
        console.data(result.output, result.record())
        return result
    console.error(MambairError(result.error, result.hint or ""))
    console.trace(result.trace)
    if console.json:
        console.data("", result.record())
    return result


def known_model(name: str) -> str:
    """A file or a name of the catalogue; refuses what looks like a mistyped name."""
    from ..weights import catalog

    if catalog.by_name(name) is None and not os.path.lexists(name):
        close = difflib.get_close_matches(name, [entry.name for entry in catalog.entries()], n=1, cutoff=0.8)
        if close:
            raise ModelError(f"There is no model {name}.", f"Did you mean {close[0]}? See mambair models list.")
    return name


def _default_model(task: str, scale: int | None) -> str:
    """The first model of the catalogue for the task that is installed."""
    from ..weights import catalog

    known = catalog.select(task, scale)
    for entry in known:
        if entry.installed:
            return entry.name
    if known:
        names = ", ".join(entry.name for entry in known)
        raise ModelError(
            f"No model for {task}{f' x{scale}' if scale else ''} is installed; known are {names}.",
            f"Get one with {known[0].download} and add --model {known[0].file}.",
        )
    offered = sorted({entry.scale for entry in catalog.select(task)})
    if offered:
        raise UsageError(
            f"No known model enlarges {scale} times.", f"Use --scale {', '.join(map(str, offered))}, or --model FILE."
        )
    raise ModelError(f"No model for {task} is known.", "Give weights of your own with --model FILE.")


def _check(console: Console, model: "Model", task: str, scale: int | None) -> None:
    """Refuse a model that is known not to do what was asked."""
    from ..images.planes import check_channels

    check_channels(model.descriptor.in_channels, model.name)
    possible = model.descriptor.tasks
    fitting = possible & {model.task} or possible  # a task that weights of this shape cannot do counts as unknown
    if task not in fitting:
        commands = " or ".join(f"mambair {name}" for name in sorted(fitting))
        raise UsageError(
            f"The model {model.name} is for {' or '.join(sorted(fitting))}, not for {task}.", f"Use {commands}."
        )
    own = model.descriptor.scale
    if scale is not None and scale != own:
        raise UsageError(f"The model {model.name} enlarges {own} times, not {scale} times.", f"Use --scale {own}.")
    if model.task not in fitting and task != "upscale":
        console.note(f"The file does not say what {model.name} was trained for; it is taken to {task}.")

"""The commands that restore pictures: one pipeline, four tasks."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from ..console import Console
from ..errors import MambairError, ModelError, UsageError
from .common import command

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
    name = model or _default_model(task, scale)
    from ..restoration import batch
    from ..restoration.model import settings
    from ..weights.loader import load

    loaded = load(name, device)
    _check(console, loaded, task, scale)
    settings(loaded, tile, overlap)
    plan = batch.jobs(inputs, output, batch.suffix(task, loaded.descriptor.scale))
    failed = []
    for number, job in enumerate(plan, start=1):
        result = _one(console, job, loaded, (tile, overlap), overwrite, f"{number}/{len(plan)} {job.source.name}")
        if result.error is not None:
            failed.append(result)
    if failed and len(plan) > 1:
        names = ", ".join(result.input for result in failed)
        raise MambairError(f"{len(failed)} of {len(plan)} files failed: {names}.", "See the messages above.")
    if failed:
        raise typer.Exit(1)


def _one(
    console: Console, job: "Job", model: "Model", tiling: tuple[int | None, int | None], overwrite: bool, title: str
) -> "Result":
    from ..restoration import batch

    with console.progress(title) as progress:
        result = batch.run(job, model, *tiling, overwrite, progress)
    for retry in result.retries:
        console.warn(f"{job.source}: {retry}")
    if result.error is None:
        console.note(
            f"{job.source} ({result.width} x {result.height}) in {result.seconds:.1f} s"
            f" with {model.name}, {result.tiles} tile{'s' if result.tiles != 1 else ''} of {result.tile} pixels"
        )
        console.data(result.output, result.record())
        return result
    console.error(MambairError(result.error, result.hint or ""))
    if console.json:
        console.data("", result.record())
    return result


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
    own = model.descriptor.scale
    if scale is not None and scale != own:
        raise UsageError(f"The model {model.name} enlarges {own} times, not {scale} times.", f"Use --scale {own}.")
    if task not in model.descriptor.tasks or model.task not in (None, task):
        does = model.task or " or ".join(sorted(model.descriptor.tasks))
        raise UsageError(f"The model {model.name} is for {does}, not for {task}.", f"Use mambair {does.split()[0]}.")
    if model.task is None and task != "upscale":
        console.note(f"The file does not say what {model.name} was trained for; it is taken to {task}.")

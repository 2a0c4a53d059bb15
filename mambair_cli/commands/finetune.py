"""``mambair finetune``: a model, trained further on own photos."""

from pathlib import Path
from typing import Annotated

import typer

from ..console import Console
from ..errors import UsageError
from .common import command


def _finetune(
    console: Console,
    photos: Annotated[Path, typer.Argument(metavar="PHOTOS", help="Folder of good photos.", show_default=False)],
    changes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Changes to the recipe, such as train.total_iter=1000.", show_default=False
        ),
    ] = None,
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="Model to begin with: a name, or a file.")] = "",
    name: Annotated[
        str | None, typer.Option("--name", help="Of the experiment and its recipe.  [default: MODEL_on_PHOTOS]")
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="upscale, denoise, dejpeg or dehaze, where the model does not say it.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write the recipe, check the photos, time one step, train nothing.")
    ] = False,
) -> None:
    """Train a model further on own photos: writes a recipe, and trains it; the same command goes on.

    Example: mambair finetune holidays/ --model mambair-nano-x2
    """
    from ..training import finetuning
    from ..weights.loader import load
    from .defaults import known_model

    if not model:
        raise UsageError("Nothing says what to begin with.", "Give --model; mambair models list shows some.")
    if not photos.is_dir():
        raise UsageError(f"The folder {photos} does not exist.", "Give a folder of good photos.")
    start = load(known_model(model), "cpu")
    wanted = finetuning.task_of(start, task)
    content = finetuning.recipe(photos, start, name or f"{start.name}_on_{photos.resolve().name}", wanted)
    file = finetuning.written(content, start, photos)
    console.note(f"The recipe is {file}; change it as you like.")
    _train(console, file, changes or [], dry_run)


def _train(console: Console, file: Path, changes: list[str], dry_run: bool) -> None:
    from ..files.places import data_root
    from ..training.recipe.reading import read_recipe

    parsed = read_recipe(file, changes)
    if dry_run:
        from ..training.rehearsal import rehearse

        rehearse(parsed.model, data_root(None), console)
        return
    from ..training.start import train

    train(parsed, data_root(None), None, console)


finetune = command(_finetune, extensible=True)

"""``mambair train``: a network from a recipe."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from ..console import Console
from ..errors import UsageError
from .common import command


def _train(
    console: Console,
    recipe: Annotated[
        str | None, typer.Argument(metavar="RECIPE", help="A YAML recipe; see options/.", show_default=False)
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Changes to it, such as train.total_iter=1000.", show_default=False
        ),
    ] = None,
    root: Annotated[
        Path | None, typer.Option("--root", help="Folder of the data.", envvar="MAMBAIR_DATA", show_default="datasets")
    ] = None,
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--no-resume",
            help="Go on from the last checkpoint, or start over; by default go on if there is one.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check recipe and data, time one step, train nothing.")
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Show where the time of a step goes, write a trace, train nothing.")
    ] = False,
    no_data_check: Annotated[
        bool, typer.Option("--no-data-check", help="Do not look at the images before the first step.")
    ] = False,
    nproc: Annotated[int, typer.Option("--nproc", min=1, metavar="N", help="Processes that train together.")] = 1,
    schema: Annotated[
        bool,
        typer.Option("--schema", help="Print the JSON Schema of recipes, for editors."),
    ] = False,
    reference: Annotated[
        bool,
        typer.Option("--reference", help="Print every key of recipes with its meaning, as Markdown."),
    ] = False,
) -> None:
    """Train a network; the run lands in experiments/ below the working folder."""
    from ..files.places import data_root
    from ..training.recipe.reading import json_schema, read_recipe

    if schema:
        typer.echo(json.dumps(json_schema(), indent=2))
        return
    if reference:
        from ..training.recipe.reference import markdown

        typer.echo(markdown(), nl=False)
        return
    if recipe is None:
        raise UsageError("Nothing says what to train.", "Give a recipe, options/lightSR_x2.yml say; see options/.")

    parsed = read_recipe(recipe, changes or ())
    if "RANK" not in os.environ or os.environ["RANK"] == "0":
        for note in parsed.notes:
            console.note(note)
    place = data_root(root)
    if dry_run:
        from ..training.rehearsal import rehearse

        rehearse(parsed.model, place, console, look=not no_data_check)
    elif profile:
        from ..training import profiling

        profiling.write(parsed.model, place, console, look=not no_data_check)
    elif nproc > 1 and "RANK" not in os.environ:
        flags = ["--no-data-check"] * no_data_check
        _launch(nproc, _arguments(console, recipe, flags, changes or [], place, resume))
    else:
        from ..training.start import train

        train(parsed, place, resume, console, look=not no_data_check)


def _arguments(
    console: Console, recipe: str, more: list[str], changes: list[str], root: Path, resume: bool | None
) -> list[str]:
    """The same command for each of several processes."""
    flags = {
        "json": console.json,
        "quiet": console.quiet,
        "verbose": console.verbose,
        "no-progress": console.no_progress,
    }
    arguments = ["train", *(f"--{name}" for name, wanted in flags.items() if wanted), "--root", str(root)]
    if resume is not None:
        arguments.append("--resume" if resume else "--no-resume")
    return [*arguments, *more, "--", recipe, *changes]


def _launch(count: int, arguments: list[str]) -> None:
    from ..training.launch import Failed, launch

    try:
        launch(count, arguments)
    except Failed as failure:
        raise typer.Exit(failure.exit_code) from None


train = command(_train, extensible=True)

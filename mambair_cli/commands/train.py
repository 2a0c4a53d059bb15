"""``mambair train``: a network from a recipe."""

from pathlib import Path
from typing import Annotated

import typer

from ..console import Console
from .common import command


def _train(
    console: Console,
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A YAML recipe; see options/.")],
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
    nproc: Annotated[int, typer.Option("--nproc", min=1, metavar="N", help="Processes that train together.")] = 1,
) -> None:
    """Train a network; the run lands in experiments/ below the working folder."""
    from ..training import start
    from ..training.recipe import read_recipe
    from ..training.settings import data_root

    parsed = read_recipe(recipe, changes or ())
    start.train(parsed.options, data_root(root), resume, console)


train = command(_train)

"""The command-line application: wiring only."""

from typing import Annotated

import typer

from . import __version__
from .commands import models, restore
from .commands.bench import bench
from .commands.common import Json, NoProgress, Quiet, Verbose
from .commands.doctor import doctor
from .commands.test import test
from .commands.train import train

app = typer.Typer(
    name="mambair",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RESTORE, TRAIN, LOOK = "Restore pictures", "Train networks", "Look around"


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mambair {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_progress: NoProgress = False,
) -> None:
    """Restore and enlarge pictures with state-space networks of the MambaIR family."""
    ctx.obj = {"json": json, "quiet": quiet, "verbose": verbose, "no_progress": no_progress}


app.command("upscale", rich_help_panel=RESTORE)(restore.upscale)
app.command("denoise", rich_help_panel=RESTORE)(restore.denoise)
app.command("dejpeg", rich_help_panel=RESTORE)(restore.dejpeg)
app.command("dehaze", rich_help_panel=RESTORE)(restore.dehaze)
app.command("train", rich_help_panel=TRAIN)(train)
app.command("test", rich_help_panel=TRAIN)(test)
app.add_typer(models.app, name="models", rich_help_panel=LOOK)
app.command("doctor", rich_help_panel=LOOK)(doctor)
app.command("bench", rich_help_panel=LOOK)(bench)

"""The command-line application: wiring only."""

from typing import Annotated

import typer

from . import __version__
from .commands import data, models
from .commands.bench import bench
from .commands.common import Json, NoProgress, Quiet, Verbose
from .commands.doctor import doctor
from .commands.export import export
from .commands.fetch import fetch
from .commands.finetune import finetune
from .commands.restore import restoring
from .commands.test import test
from .commands.train import train
from .commands.ui import ui
from .commands.watch import watch
from .tasks import TASKS

app = typer.Typer(
    name="mambair",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RESTORE, TRAIN, DATA, LOOK = "Restore pictures", "Train networks", "Data and models", "Look around"


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


for task in TASKS:
    app.command(task.name, rich_help_panel=RESTORE)(restoring(task))
app.command("watch", rich_help_panel=RESTORE)(watch)
app.command("ui", rich_help_panel=RESTORE)(ui)
app.command("train", rich_help_panel=TRAIN)(train)
app.command("finetune", rich_help_panel=TRAIN)(finetune)
app.command("test", rich_help_panel=TRAIN)(test)
app.command("fetch", rich_help_panel=DATA)(fetch)
app.command("export", rich_help_panel=DATA)(export)
app.add_typer(data.app, name="data", rich_help_panel=DATA)
app.add_typer(models.app, name="models", rich_help_panel=LOOK)
app.command("doctor", rich_help_panel=LOOK)(doctor)
app.command("bench", rich_help_panel=LOOK)(bench)

"""What every command shares: the output flags, and the boundary at which errors become messages and exit codes."""

import inspect
import signal
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ..console import Console
from ..errors import MambairError

INTERRUPTED, TERMINATED = 130, 143

PANEL = "Output"
Json = Annotated[bool, typer.Option("--json", help="Print results as lines of JSON.", rich_help_panel=PANEL)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.", rich_help_panel=PANEL)]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show tracebacks.", rich_help_panel=PANEL)]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="Show no progress bar.", rich_help_panel=PANEL)]
FLAGS: dict[str, Any] = {"json": Json, "quiet": Quiet, "verbose": Verbose, "no_progress": NoProgress}


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Make a command of ``function(console, ...)``: adds the output flags and turns errors into messages.

    The flags are accepted before and after the command's name.
    """
    signature = inspect.signature(function)
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in signature.parameters.items()
        if name != "console"
    ]
    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [context, *own, *(_parameter(name, annotation) for name, annotation in FLAGS.items())]

    def run(**arguments: Any) -> None:
        before = arguments.pop("ctx").obj or {}
        flags = {name: arguments.pop(name) or before.get(name, False) for name in FLAGS}
        console = Console(**flags)
        signal.signal(signal.SIGTERM, _terminated)
        try:
            function(console, **arguments)
        except (typer.Exit, typer.Abort):
            raise
        except MambairError as error:
            console.error(error)
            if console.verbose:
                traceback.print_exc()
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            console.warn("interrupted; files written so far are complete.")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if console.verbose:
                raise
            unexpected = MambairError(
                f"An unexpected {type(error).__name__} came up: {error}.",
                "Run again with --verbose and report what it prints.",
            )
            console.error(unexpected)
            raise typer.Exit(unexpected.exit_code) from None

    run.__name__, run.__doc__ = function.__name__, function.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _terminated(number: int, frame: object) -> None:
    """Leave through the clean-up code, so that no temporary file stays."""
    raise SystemExit(TERMINATED)

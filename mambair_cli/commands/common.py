"""What every command shares: the output flags, and the boundary at which errors become messages and exit codes."""

import inspect
import signal
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..console import Console
from ..errors import UsageError, explained
from ..interruptions import SIGNALS

if TYPE_CHECKING:
    import torch

_received: list[int] = []
"""Signals that ended the run. Their exceptions do not always arrive: numpy, interrupted while it loads, raises
ImportError."""

PANEL = "Output"
Json = Annotated[bool, typer.Option("--json", help="Print results as lines of JSON.", rich_help_panel=PANEL)]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print results, warnings and errors only.", rich_help_panel=PANEL)
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", help="Show tracebacks, and how noisy or compressed pictures are.", rich_help_panel=PANEL
    ),
]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="Show no progress bar.", rich_help_panel=PANEL)]
FLAGS: dict[str, Any] = {"json": Json, "quiet": Quiet, "verbose": Verbose, "no_progress": NoProgress}


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)


def _plugin() -> inspect.Parameter:
    option = typer.Option(
        "--plugin",
        metavar="MODULE",
        envvar="MAMBAIR_PLUGINS",
        help="Module with networks or other parts of your own; see docs/plugins.md.",
        show_default=False,
    )
    return inspect.Parameter(
        "plugin", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[list[str] | None, option]
    )


def command(function: Callable[..., None], *, extensible: bool = False) -> Callable[..., None]:
    """Make a command of ``function(console, ...)``: adds the output flags and turns errors into messages.

    Args:
        function: does the work.
        extensible: whether plugins can matter to it.

    The flags are accepted before and after the command's name.
    """
    signature = inspect.signature(function)
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in signature.parameters.items()
        if name != "console"
    ]
    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    if extensible:
        own.append(_plugin())
    parameters = [context, *own, *(_parameter(name, annotation) for name, annotation in FLAGS.items())]

    def run(**arguments: Any) -> None:
        before = arguments.pop("ctx").obj or {}
        flags = {name: arguments.pop(name) or before.get(name, False) for name in FLAGS}
        console = Console(**flags)
        _catch_signals()
        try:
            if names := arguments.pop("plugin", None):
                from ..plugins import load

                load(names)
            function(console, **arguments)
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt:
            raise _stopped(console) from None
        except Exception as error:
            if _received:
                raise _stopped(console) from None
            message = explained(error, "The command")
            console.error(message)
            console.trace(traceback.format_exc())
            raise typer.Exit(message.exit_code) from None
        if console.unprinted:
            raise typer.Exit(1)

    run.__name__, run.__doc__ = function.__name__, function.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _catch_signals() -> None:
    """Leave through the clean-up code, so that no temporary file stays; a signal that is ignored stays ignored."""
    _received.clear()
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _receive)


def _receive(number: int, frame: object) -> None:
    _received.append(number)
    raise KeyboardInterrupt


def stop_if_interrupted() -> None:
    """Go on with an interruption that somebody else's code made another exception of.

    Raises:
        KeyboardInterrupt: a signal came.
    """
    if _received:
        raise KeyboardInterrupt


def _stopped(console: Console) -> typer.Exit:
    """130 after SIGINT, 143 after SIGTERM, 129 after SIGHUP."""
    console.warn("interrupted; files written so far are complete.")
    return typer.Exit(128 + (_received or [signal.SIGINT])[0])


def check_backend(device: "torch.device") -> None:
    """Refuse a scan backend that does not exist or cannot run, before any work.

    Raises:
        UsageError: the environment asks for one.
    """
    from mambair_kernels import BackendError, dispatch

    try:
        dispatch.select(device)
    except BackendError as error:
        raise UsageError(f"{error}.", f"Unset {dispatch.VARIABLE}, or see mambair doctor.") from None

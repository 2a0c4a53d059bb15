"""``mambair watch``: restores what comes into a folder."""

import inspect
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import tasks
from ..console import Console
from ..errors import InputError, MambairError, UsageError
from ..locations.url import refuse
from . import options, restore
from .common import command

if TYPE_CHECKING:
    from ..restoration.plan import Naming, Plan

EXTRA = "Install it: pip install 'mambair[watch]'."
STEP = 1000
"""Milliseconds between two looks while a file grows."""
REST = 10.0
"""Seconds between two looks if nothing is noticed: folders on other machines do not say what happens in them."""

TaskName = StrEnum("TaskName", [(task.name, task.name) for task in tasks.TASKS])  # type: ignore[misc]

Folder = Annotated[Path, typer.Argument(metavar="IN", help="The folder into which pictures come.")]
Results = Annotated[str, typer.Argument(metavar="OUT", help="The folder for the results; it is made if need be.")]
TaskOption = Annotated[
    TaskName, typer.Option("--task", metavar="|".join(TaskName), help="What is done.", rich_help_panel=options.MODEL)
]


def _watch(console: Console, folder: Path, output: str, task: str, recursive: bool, **given: Any) -> None:
    """Restore every picture that comes into a folder, until Ctrl-C.

    What is there at the start is done first. As with --resume, what is finished is skipped, what changes is done
    again, and files of yours are never replaced.

    Example: mambair watch incoming enlarged
    """
    _check(folder, output)
    try:
        import watchfiles
    except ModuleNotFoundError as error:
        if error.name not in ("watchfiles", "anyio"):
            raise
        raise MambairError("Watching needs watchfiles, which is not installed.", EXTRA) from None
    row = tasks.get(task)
    refused = [name for name in options.foreign(row) if given[name] is not None]
    if refused:
        other = "denoise" if min(refused) in options.DENOISING else "upscale"
        raise UsageError(f"--{min(refused)} is not for --task {task}.", f"Leave it out, or give --task {other}.")
    prepared = restore.prepare(console, row, **given, resume=True)
    from ..restoration.arrivals import Arrivals
    from ..restoration.plan import check_format

    example = Path(prepared.naming.name(Path("a.png")))
    check_format(example, prepared.naming)
    restore.check_quality({example.suffix}, prepared.run.choices)
    prepared = replace(prepared, run=restore.recorded(prepared.run))
    arrivals, told = Arrivals(), None
    console.note(f"Watching {folder}, until Ctrl-C.")
    looks = watchfiles.watch(folder, watch_filter=None, rust_timeout=STEP, yield_on_timeout=True, recursive=recursive)
    for _ in _due(looks, arrivals):
        todo = _look(folder, output, prepared.naming, recursive)
        restore.announce(console, todo.news(told) if told else todo)
        told = replace(todo, unread=todo.unread | told.unread) if told else todo
        if jobs := arrivals.ready(todo.jobs):
            restore.work(console, prepared, jobs)


def _check(folder: Path, output: str) -> None:
    for place in (folder, output):
        refuse(
            place,
            "Folders of this machine are watched",
            "Restore what is in a store with upscale --resume, again and again.",
        )
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.", "Check its name, or make it.")
    if not output or output == "-":
        raise UsageError("Results go into a folder.", "Name one.")
    if os.path.lexists(output) and not Path(output).is_dir():
        raise UsageError(f"{output} is no folder.", "Name a folder for the results.")
    if Path(output).resolve() == folder.resolve():
        raise UsageError(
            "Results in the folder that is watched would be restored once more.", f"Name another: {folder / 'out'}."
        )


def _due(looks: "Iterator[Any]", arrivals: Any) -> Iterator[None]:
    """At once, when something happened, while a file grows, and now and then."""
    yield
    last = time.monotonic()
    for changes in looks:
        if changes or arrivals.open or time.monotonic() - last >= REST:
            yield
            last = time.monotonic()


def _look(folder: Path, output: str, naming: "Naming", recursive: bool) -> "Plan":
    """What is in the folder now, which may be nothing."""
    from ..restoration.plan import Plan, plan

    unread: Counter[str] = Counter()
    if not folder.is_dir():
        raise InputError(f"The folder {folder} is gone.", "Make it again, and start again.")
    try:
        return plan([str(folder)], output + os.sep, naming, recursive, unread)
    except InputError:
        return Plan([], unread=unread)


def _signature() -> inspect.Signature:
    """IN, OUT and the task before the options of restoring."""
    kind = inspect.Parameter.KEYWORD_ONLY
    own = [
        inspect.Parameter("folder", kind, annotation=Folder),
        inspect.Parameter("output", kind, annotation=Results),
        inspect.Parameter("task", kind, annotation=TaskOption, default=TaskName("upscale")),
    ]
    shared = options.signature({"inputs", "output", "resume", "cluster"}).parameters.values()
    return inspect.Signature([*own, *shared])


_watch.__signature__ = _signature()  # type: ignore[attr-defined]
watch = command(_watch, extensible=True)

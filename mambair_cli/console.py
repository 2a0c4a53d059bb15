"""The only place that prints: data on stdout, everything else on stderr, in four modes."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .errors import MambairError

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.console import RenderableType


class Advance(Protocol):
    """Reports progress: ``total`` once it is known, then how much is ``done``."""

    def __call__(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` are finished."""


@dataclass(frozen=True)
class Console:
    """Output of one command.

    Modes: human (default), ``json`` (one object per line on stdout), ``quiet`` (data and errors only) and ``verbose``
    (also tracebacks).
    """

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    no_progress: bool = False

    @property
    def stderr(self) -> "RichConsole":
        """Rich console for talk."""
        from rich.console import Console as RichConsole

        return RichConsole(stderr=True, highlight=False, soft_wrap=True)

    def data(self, text: str, record: Mapping[str, Any]) -> None:
        """One result: ``text`` for people, ``record`` as a line of JSON."""
        line = json.dumps(record, ensure_ascii=False, default=str) if self.json else text
        # A file name may hold bytes that are not text; they must not end the run.
        sys.stdout.write(line.encode(errors="replace").decode() + "\n")
        sys.stdout.flush()

    def table(self, renderable: "RenderableType", record: Mapping[str, Any]) -> None:
        """A table for people, or its content as a line of JSON."""
        if self.json:
            self.data("", record)
            return
        from rich.console import Console as RichConsole

        console = RichConsole(highlight=False, soft_wrap=not sys.stdout.isatty())
        console.print(renderable, crop=False)

    def note(self, text: str) -> None:
        """Something good to know."""
        if not self.quiet and not self.json:
            self._say(text)

    def warn(self, text: str) -> None:
        """Something that changed what was asked for; shown in every mode."""
        self._say(f"Warning: {text}", "yellow")

    def error(self, error: MambairError) -> None:
        """What is wrong and what to do."""
        self._say(f"Error: {error.message}", "bold red")
        self._say(f"Hint: {error.hint}")

    def _say(self, text: str, style: str = "") -> None:
        self.stderr.print(text.encode(errors="replace").decode(), style=style, markup=False)

    @contextmanager
    def progress(self, description: str) -> Iterator[Advance]:
        """A bar with rate and remaining time on a terminal; silent elsewhere."""
        console = self.stderr
        if self.json or self.quiet or self.no_progress or not console.is_terminal:
            yield lambda done, total: None
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("tiles {task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(description, total=None, rate="")

            def show(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)
                if speed := bar.tasks[0].speed:
                    bar.update(task, rate=f"({60 * speed:.0f}/min)")

            yield show

"""The only place that prints: data on stdout, everything else on stderr, in four modes."""

import errno
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from .errors import MambairError

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.console import RenderableType
    from rich.progress import Progress, ProgressColumn


UNSEEN = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))} | {
    code: f"\\u{code:04x}" for code in (0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
"""Characters that command a terminal, or turn text around, as escapes."""

WIDE = 200
"""Columns of tables that go into a file or another program, so that nothing of them is cut off."""

NAME, BAR, ETA = 16, 20, 9
"""Columns for what is counted, for a bar, and for the remaining time in hours, minutes and seconds."""

ROOMY = 120
"""Columns from which on a line of many figures also gets a bar."""


def harmless(text: str) -> str:
    """Text from outside (names, metadata) so that a terminal shows it and obeys none of it."""
    return text.translate(UNSEEN)


class Advance(Protocol):
    """Reports progress: ``total`` once it is known, then how much is ``done``."""

    def __call__(self, done: int, total: int | None) -> None:
        """Show that ``done`` of ``total`` (None: nobody knows) are finished."""


class Count(Protocol):
    """Reports progress that has more to tell than a number."""

    def __call__(self, done: int, status: Sequence[str]) -> None:
        """Show that ``done`` are finished, and of ``status``, most important first, what there is room for."""


@dataclass
class Console:
    """Output of one command.

    Modes: human (default), ``json`` (one object per line on stdout), ``quiet`` (data, warnings and errors only) and
    ``verbose`` (also tracebacks and estimates).

    Attributes:
        unprinted: whether stdout could not take a result; the work goes on, because files are its real result.
        piped: whether stdout is for the bytes of a picture; records go to stderr then, and names nowhere.
    """

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    no_progress: bool = False
    unprinted: bool = field(default=False, init=False)
    piped: bool = field(default=False, init=False)
    _bar: "Progress | None" = field(default=None, init=False)

    @property
    def stderr(self) -> "RichConsole":
        """Rich console for talk."""
        from rich.console import Console as RichConsole

        return RichConsole(stderr=True, highlight=False, soft_wrap=True)

    def data(self, text: str, record: Mapping[str, Any]) -> None:
        """One result: ``text`` for people, ``record`` as a line of JSON in ASCII, whatever the names in it hold."""
        if self.piped:
            if self.json:
                self._say(json.dumps(record, default=str))
            return
        if not self.json and sys.stdout and sys.stdout.isatty():
            text = harmless(text)
        self._print((json.dumps(record, default=str) if self.json else text) + "\n")

    def table(self, renderable: "RenderableType", record: Mapping[str, Any]) -> None:
        """A table for people, or its content as a line of JSON."""
        if self.json:
            self.data("", record)
            return
        from rich.console import Console as RichConsole

        terminal = bool(sys.stdout and sys.stdout.isatty())
        console = RichConsole(highlight=False, soft_wrap=not terminal, width=None if terminal else WIDE)
        with console.capture() as capture:
            console.print(renderable, crop=False)
        self._print(capture.get())

    def _print(self, text: str) -> None:
        try:
            with self._without_bar():
                _write(sys.stdout, text)
        except OSError as error:
            if not self.unprinted:
                self.warn(f"results cannot be printed any more ({error.strerror}); the work goes on.")
            self.unprinted = True
            if sys.stdout is not None:
                _discard(sys.stdout)

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

    def trace(self, text: str) -> None:
        """A traceback, for those who asked for it."""
        if self.verbose:
            self._say(text)

    def _say(self, text: str, style: str = "") -> None:
        console = self.stderr
        with console.capture() as capture:
            console.print(harmless(text), style=style, markup=False)
        with suppress(OSError), self._without_bar():  # nobody is left to be told
            _write(sys.stderr, capture.get())

    @contextmanager
    def _without_bar(self) -> Iterator[None]:
        """Take a bar off the terminal for as long as something else is written to it."""
        bar, self._bar = self._bar, None
        if bar:
            bar.stop()
        try:
            yield
        finally:
            if bar:
                bar.start()
            self._bar = bar

    @contextmanager
    def _shown(self, bar: "Progress") -> Iterator[None]:
        with bar:
            self._bar = bar
            try:
                yield
            finally:
                self._bar = None

    @contextmanager
    def progress(self, description: str, unit: str = "tiles") -> Iterator[Advance]:
        """A bar with rate and remaining time on a terminal; silent elsewhere. ``unit`` is what is counted."""
        console = self.stderr
        if self.json or self.quiet or self.no_progress or not console.is_terminal:
            yield lambda done, total: None
            return
        from rich.progress import Progress

        bar = Progress(*_columns(unit), console=console, transient=True)
        with self._shown(bar):
            task = bar.add_task(description, total=None, rate="")

            def show(done: int, total: int | None) -> None:
                bar.update(task, completed=done, total=total)
                if speed := bar.tasks[0].speed:
                    bar.update(task, rate=f"({60 * speed:.0f}/min)")

            yield show

    @contextmanager
    def counter(self, description: str, total: int) -> Iterator[Count]:
        """A bar with a status line and remaining time on a terminal; silent elsewhere."""
        console = self.stderr
        if self.json or self.quiet or self.no_progress or not console.is_terminal:
            yield lambda done, status: None
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        name = description if len(description) <= NAME else description[: NAME - 1] + "…"
        drawn = BAR if console.width >= ROOMY else 0
        taken = len(name) + drawn + 2 * len(str(total)) + len("/") + ETA + len("    ")
        columns = (
            TextColumn(name, markup=False),
            *((BarColumn(bar_width=drawn),) if drawn else ()),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[status]}", markup=False),
        )
        bar = Progress(*columns, console=console, transient=True, speed_estimate_period=300)
        with self._shown(bar):
            task = bar.add_task("", total=total, status="")
            yield lambda done, status: bar.update(task, completed=done, status=_fitting(status, console.width - taken))


def _fitting(parts: Sequence[str], width: int) -> str:
    """As many of the first parts as fit into ``width`` columns."""
    text = ""
    for part in parts:
        longer = f"{text} · {part}" if text else part
        if len(longer) > width:
            break
        text = longer
    return text


def _columns(unit: str) -> "list[ProgressColumn]":
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    counts: list[ProgressColumn]
    if unit == "bytes":
        counts = [DownloadColumn(), TransferSpeedColumn()]
    else:
        counts = [MofNCompleteColumn(), TextColumn(f"{unit} {{task.fields[rate]}}")]
    return [TextColumn("{task.description}", markup=False), BarColumn(), *counts, TimeRemainingColumn()]


def _write(stream: TextIO | None, text: str) -> None:
    """Write what the stream's encoding holds and the rest (bytes of a name that are no text, say) as escapes."""
    if stream is None:  # closed before Python started
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def _discard(stream: TextIO) -> None:
    """Let what the stream still holds go nowhere; else Python complains about it once more when it ends."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())

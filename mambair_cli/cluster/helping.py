"""Rows of tiles for a picture of another worker, made from the file itself."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

from ..errors import InputError, MambairError, OutOfMemoryError, explained
from ..files.outputs import reserved
from ..images import formats, vips
from ..images.bands import opened
from ..images.decode import decode
from ..locations import either
from ..locations.url import Url
from ..restoration.choices import Choices
from ..restoration.copies import copied, scratch
from ..restoration.engine import Report, Strips
from ..restoration.picture import Run
from ..restoration.prepared import prepare
from ..restoration.sources import ArraySource, Source
from ..restoration.tiles import Floats, TileRow
from .sheet import Key, Reply, Sheet


class Helper:
    """Makes strips of one picture at a time, and keeps them until they are fetched.

    Args:
        run: of the worker.
        check: called after each tile; raises if nobody wants it any more.
    """

    def __init__(self, run: Run, check: Callable[[], None]) -> None:
        self.run, self.check = run, check
        self.kept: dict[Key, Floats] = {}
        self.open = ExitStack()
        self.sheet: Sheet | None = None
        self.strips: Strips | None = None
        self.first = 0

    def __enter__(self) -> "Helper":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the picture; strips stay until they are fetched, or another picture comes."""
        self.open.close()
        self.strips = None

    def make(self, key: Key, sheet: Sheet, row: TileRow) -> Reply:
        """The shape of the strip that is kept then, or what is in the way."""
        try:
            strip = self._strips(sheet, row.span.start).make(row)
        except Exception as error:
            self.close()
            return explained(error, f"Helping with {sheet.job.input}")
        if strip is None:
            return OutOfMemoryError("Its memory is too small.", "Give a smaller --tile.")
        self.kept[key] = strip
        height, width, channels = strip.shape
        return height, width, channels

    def piece(self, key: Key, start: int, stop: int) -> Floats:
        """Rows [start, stop) of a strip, which goes with its last row."""
        strip = self.kept[key]
        if stop >= len(strip):
            del self.kept[key]
        return strip[start:stop]

    def _strips(self, sheet: Sheet, first: int) -> Strips:
        """What makes them, of rows from ``first`` on: files are read forward, so what lies above is read again."""
        if self.strips is None or sheet != self.sheet:
            self.strips = self._opened(sheet)
            self.sheet, self.first = sheet, 0
        if first < self.first:
            self.strips.source.restart()
        self.strips.source.release(first)
        self.first = first
        return self.strips

    def _opened(self, sheet: Sheet) -> Strips:
        self.close()
        self.kept.clear()
        run, job = self.run, sheet.job
        model = run.for_poor if sheet.poor else run.model
        assert model is not None
        with ExitStack() as stack:
            file = stack.enter_context(copied(job.source)) if isinstance(job.source, Url) else job.source
            if either.state(job.source) != sheet.state:
                raise InputError(f"{job.source} was changed.", "Restore it again.")
            source = _rows_of(file, run.choices, stack)
            strips = prepare(source, model, run.choices, Report()).strips(self.check)
            self.open = stack.pop_all()
        return strips


def _rows_of(file: Path, choices: Choices, stack: ExitStack) -> Source:
    """The picture in bands, or in memory where it cannot be read so: the pixels are the same."""
    row = formats.by_suffix(file.suffix)
    if row is not None and row.read_in_bands and vips.available() and "y" not in choices.wrap:
        turned = stack.enter_context(reserved(scratch() / file.name))
        with suppress(MambairError):
            return stack.enter_context(opened(file, turned, strict=choices.strict))
    return ArraySource(decode(file, **choices.reading()).pixels)

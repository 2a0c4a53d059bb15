"""The files that one picture becomes: claimed, written under temporary names, recorded, and given their names."""

from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from pathlib import Path

from ..errors import InputError, OutputError
from ..files import locks, outputs
from ..locations import either, objects
from ..locations.either import exists
from ..locations.url import Location, Url
from .copies import scratch
from .record import Entry, Records, Stamp
from .result import Job


class Claim(Enum):
    """What is found where the outputs are to be."""

    FREE = auto()
    HELD = auto()
    """Another process works on them."""
    FINISHED = auto()
    """An earlier run made them from the same input with the same model and choices."""


@dataclass
class Output:
    """Of one picture.

    Attributes:
        replace: whether outputs that exist are replaced.
        read: the input as it was when it was read; None if that is not recorded.
    """

    job: Job
    records: Records
    replace: bool
    read: Stamp | None = None
    _stack: ExitStack = field(default_factory=ExitStack)
    _temporary: dict[Location, Path] = field(default_factory=dict)

    @property
    def paths(self) -> list[Location]:
        """The files to be made; the result itself comes last, so that it is there only when all are."""
        found = [self.job.compare] if self.job.compare else []
        return found if self.job.piped_out else [*found, self.job.target]

    def claim(self, *, shared: bool) -> Claim:
        """Find out whether the outputs may be made; if ``shared``, against other processes and earlier runs, too.

        Behind a URL no process knows of another.

        Raises:
            OutputError: something is there that must not be replaced, or nothing can be written there.
        """
        target = self.job.target
        if shared and isinstance(target, Url):
            return Claim.FINISHED if self._finished() else Claim.FREE
        if shared and not self.job.piped_out:
            assert isinstance(target, Path)
            self._stack.enter_context(outputs.folder_of(target))
            with outputs.writing(target):
                if not self._stack.enter_context(locks.claimed(target)):
                    return Claim.HELD
                return Claim.FINISHED if self._finished() else Claim.FREE
        if not self.replace:
            for path in self.paths:
                _check_new(path)
        return Claim.FREE

    def _finished(self) -> bool:
        """Whether nothing is to be done; if not, results of earlier runs may be replaced, and nothing else."""
        there = [path for path in self.paths if exists(path)]
        for path in self.paths:
            if path not in there:
                _check_new(path)  # which knows impossible names, too
        makers = [self.records.maker(path) if isinstance(path, Url) or path.is_file() else None for path in there]
        if not self.replace and None in makers:
            taken = there[makers.index(None)]
            raise OutputError(
                f"{taken} exists already, and is no result of an earlier run, or was changed since.",
                "Add --overwrite, or choose another output with -o.",
            )
        self.replace = self.replace or bool(there)
        return len(there) == len(self.paths) and all(
            maker is not None and maker.fingerprint == self.records.fingerprint and _same(maker.read, self.job.source)
            for maker in makers
        )

    def reserve(self) -> None:
        """Make the temporary files.

        Raises:
            OutputError: the folder cannot be made or written to.
        """
        for path in self.paths:
            copy = scratch() / path.name if isinstance(path, Url) else path
            self._temporary[path] = self._stack.enter_context(outputs.reserved(copy))

    @property
    def temporary(self) -> Path:
        """The file that becomes the result."""
        return self._temporary[self.job.target]

    def publish(self, path: Location, data: bytes) -> None:
        """Write one of the files, and give it its name.

        Raises:
            OutputError: it cannot be written, or a file of that name came up in the meantime and is to be kept.
        """
        temporary = self._temporary[path]
        outputs.fill(temporary, temporary if isinstance(path, Url) else path, data)
        self.place(path)

    def place(self, path: Location) -> None:
        """Record a temporary file that is complete, and give it its name.

        Raises:
            OutputError: as for :meth:`publish`.
        """
        temporary, made = self._temporary[path], None
        if self.records.fingerprint is not None and self.read is not None:
            made = Entry(Stamp.of(temporary, path.name), self.read, self.records.fingerprint)
        if isinstance(path, Url):
            self._put(temporary, path, made)
            return
        if made:
            self.records.add(path, made)
        outputs.place(temporary, path, self.replace)

    def _put(self, temporary: Path, url: Url, made: Entry | None) -> None:
        """The version is only known afterwards; of a process that is killed before, the content has to be compared."""
        if made:
            made = replace(made, made=replace(made.made, mtime_ns=0))
            self.records.add(url, made)
        objects.put(temporary, url, self.replace)
        if made:
            size, version = objects.state(url)
            if size == made.made.size:
                self.records.add(url, replace(made, made=replace(made.made, mtime_ns=version)))

    def close(self) -> None:
        """Give up the claim and what is left of temporary files."""
        self._stack.close()


def _check_new(place: Location) -> None:
    if not isinstance(place, Url):
        outputs.check_new(place)
    elif objects.exists(place):
        raise OutputError(f"{place} exists already.", "Add --overwrite, or choose another output with -o.")


def _same(read: Stamp, source: Location) -> bool:
    """Whether an input is what was read; one that is not there is found missing when it is read."""
    try:
        return read.fits(source, either.absolute(source))
    except (OSError, InputError):
        return False

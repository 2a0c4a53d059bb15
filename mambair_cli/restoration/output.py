"""The files that one picture becomes: claimed, written under temporary names, recorded, and given their names."""

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

from ..errors import OutputError
from ..images import claims, files
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
    _temporary: dict[Path, Path] = field(default_factory=dict)

    @property
    def paths(self) -> list[Path]:
        """The files to be made; the result itself comes last, so that it is there only when all are."""
        found = [self.job.compare] if self.job.compare else []
        return found if self.job.piped_out else [*found, self.job.target]

    def claim(self, *, shared: bool) -> Claim:
        """Find out whether the outputs may be made; if ``shared``, against other processes and earlier runs, too.

        Raises:
            OutputError: something is there that must not be replaced, or nothing can be written there.
        """
        target = self.job.target
        if shared and not self.job.piped_out:
            self._stack.enter_context(files.folder_of(target))
            with files.writing(target):
                if not self._stack.enter_context(claims.claimed(target)):
                    return Claim.HELD
                return Claim.FINISHED if self._finished() else Claim.FREE
        if not self.replace:
            for path in self.paths:
                files.check_new(path)
        return Claim.FREE

    def _finished(self) -> bool:
        """Whether nothing is to be done; if not, results of earlier runs may be replaced, and nothing else."""
        there = [path for path in self.paths if os.path.lexists(path)]
        for path in self.paths:
            if path not in there:
                files.check_new(path)  # which knows impossible names, too
        makers = [self.records.of(path).maker(path) if path.is_file() else None for path in there]
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
        self._temporary = {path: self._stack.enter_context(files.reserved(path)) for path in self.paths}

    @property
    def temporary(self) -> Path:
        """The file that becomes the result."""
        return self._temporary[self.job.target]

    def publish(self, path: Path, data: bytes) -> None:
        """Write one of the files, and give it its name.

        Raises:
            OutputError: it cannot be written, or a file of that name came up in the meantime and is to be kept.
        """
        files.fill(self._temporary[path], path, data)
        self.place(path)

    def place(self, path: Path) -> None:
        """Record a temporary file that is complete, and give it its name.

        Raises:
            OutputError: as for :meth:`publish`.
        """
        temporary, records = self._temporary[path], self.records
        if records.fingerprint is not None and self.read is not None:
            records.of(path).add(Entry(Stamp.of(temporary, path.name), self.read, records.fingerprint))
        files.place(temporary, path, self.replace)

    def close(self) -> None:
        """Give up the claim and what is left of temporary files."""
        self._stack.close()


def _same(read: Stamp, source: Path) -> bool:
    """Whether an input is what was read; one that is not there is found missing when it is read."""
    try:
        return read.fits(source, str(source.absolute()))
    except OSError:
        return False

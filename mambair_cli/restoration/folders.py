"""The output folders of a run: what earlier and killed processes left in them, and what this one leaves."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from ..errors import InputError, OutputError
from ..files import locks
from ..locations import objects
from ..locations.url import Location, Url
from .record import NAME
from .result import Job


@dataclass(frozen=True)
class Folders:
    """Output folders with a record of results from before the run, and others."""

    recorded: tuple[Location, ...]
    others: tuple[Location, ...]

    @classmethod
    def of(cls, jobs: Iterable[Job]) -> "Folders":
        """As they are before the run."""
        every = dict.fromkeys(job.target.parent for job in jobs if not job.piped_out)
        recorded = tuple(folder for folder in every if _has_record(folder))
        return cls(recorded, tuple(folder for folder in every if folder not in recorded))

    def sweep(self) -> None:
        """Remove temporary files and locks of processes that are gone, where that is possible."""
        for folder in self.recorded + self.others:
            with suppress(OSError, InputError):  # writing to this folder will say more
                objects.sweep(folder) if isinstance(folder, Url) else locks.sweep(folder)

    def forget(self) -> None:
        """Remove the records of a run that is complete and was not meant to be gone on with."""
        for folder in self.others:
            with suppress(OSError, OutputError):  # it does no harm
                if isinstance(folder, Url):
                    objects.remove(folder / objects.HIDDEN)
                else:
                    (folder / NAME).unlink(missing_ok=True)


def _has_record(folder: Location) -> bool:
    if isinstance(folder, Url):
        return any(url.suffix == ".json" for url in objects.files(folder / objects.HIDDEN, recursive=False))
    return (folder / NAME).exists()

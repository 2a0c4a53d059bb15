"""Pictures that come into a folder: which are complete, and have not been looked at as they are now."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ..locations.url import Location
from .result import Job

SETTLED = 2.0
"""Seconds without a change after which a file counts as complete."""

State = tuple[int, int, int]
"""Size, time of the last change in nanoseconds, and number of a file."""


@dataclass
class Arrivals:
    """Remembers what was given out.

    Attributes:
        open: whether there are files that are still growing.
    """

    open: bool = False
    _given: dict[tuple[Location, Location], State] = field(default_factory=dict)
    _seen: dict[Location, tuple[State, float]] = field(default_factory=dict)

    def ready(self, jobs: Iterable[Job]) -> list[Job]:
        """Those that are new, changed, or get another output, and are complete.

        The clock of a disk elsewhere may differ from ours; so a date is believed only if it lies in the past, and
        else the file is looked at until it stays the same.
        """
        self.open, ready = False, []
        for job in jobs:
            state = _state(job.source)
            if state is None or self._given.get((job.source, job.target)) == state:
                continue
            if self._settled(job.source, state):
                self._given[job.source, job.target] = state
                ready.append(job)
            else:
                self.open = True
        return ready

    def _settled(self, source: Location, state: State) -> bool:
        now = time.monotonic()
        seen, since = self._seen.get(source, (None, now))
        if seen != state:
            since = now
        self._seen[source] = (state, since)
        return now - since >= SETTLED or time.time() - state[1] / 1e9 >= SETTLED


def _state(source: Location) -> State | None:
    assert isinstance(source, Path)
    try:
        status = os.stat(source)  # noqa: PTH116
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino

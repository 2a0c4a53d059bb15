"""Many pictures: the next is read and the last is written while the network works on one."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from .engine import Progress
from .picture import Run, Work
from .result import Job, Result

PATIENCE = 2
"""Seconds for which an interrupted run waits for a picture that is being read."""
PAUSE = 0.2
"""Seconds between two looks at files on which another process works."""

Tell = Callable[[Job, Result], None]
Bar = Callable[[Job], AbstractContextManager[Progress]]


class Take(Protocol):
    """Gives the next picture; None when there is none, or, if that is not worth ``waiting`` for, none yet."""

    def __call__(self, waiting: bool) -> Job | None:
        """The next one."""


@dataclass
class Pipeline:
    """Three pictures at most are in memory: one being read, one in the network, one being written.

    Attributes:
        tell: told of each result in the order of the pictures, by the calling thread.
        bar: shows the progress of one picture.
    """

    of: Run
    tell: Tell
    bar: Bar
    open: list[Work] = field(default_factory=list)
    reading: threading.Thread | None = None
    writing: tuple[threading.Thread, Work] | None = None

    def run(self, take: Take) -> None:
        """Restore all that ``take`` gives. An interruption leaves only complete files."""
        try:
            work = self._begin(take(True))
            while work:
                following = self._through(work, take)
                if following is None:
                    self._tell_last()
                    following = self._begin(take(True))
                work = following
            self._tell_last()
        finally:
            self._stop()

    def _begin(self, job: Job | None) -> Work | None:
        """Start reading a picture."""
        if job is None:
            return None
        work = self.of.new(job)
        self.open.append(work)
        self.reading = threading.Thread(target=work.begin, daemon=True)
        self.reading.start()
        return work

    def _through(self, work: Work, take: Take) -> Work | None:
        """Bring a picture to its last stage, and the next one to its first."""
        assert self.reading is not None
        self.reading.join()
        if work.starved:  # there may be enough memory once the picture before is gone
            self._tell_last()
            again = self._begin(work.job)
            self.open.remove(work)
            assert again is not None
            work = again
            self.reading.join()
        following = self._begin(take(False))
        if not work.over:
            with self.bar(work.job) as progress:
                work.restore(self._watched(progress))
        self._tell_last()
        thread = threading.Thread(target=work.finish, daemon=True)
        self.writing = (thread, work)
        thread.start()
        if work.over:  # nothing to be written: no reason to tell it later
            self._tell_last()
        return following

    def _watched(self, progress: Progress) -> Progress:
        """Tells of the last picture as soon as it is written."""

        def show(done: int, total: int) -> None:
            if self.writing and not self.writing[0].is_alive():
                self._tell_last()
            progress(done, total)

        return show

    def _tell_last(self) -> None:
        if self.writing:
            thread, work = self.writing
            thread.join()
            self.writing = None
            self.open.remove(work)
            self.tell(work.job, work.result)

    def _stop(self) -> None:
        """Let what is being written be completed, and give up the rest; a second interruption ends the patience."""
        try:
            if self.writing and self.writing[0].is_alive():  # an interruption may have come before it was started
                self.writing[0].join()
            if self.reading and self.reading.is_alive():
                self.reading.join(PATIENCE)
        finally:
            for work in self.open:
                work.close()


def run(of: Run, jobs: Sequence[Job], tell: Tell, bar: Bar, waiting: Callable[[int], None]) -> None:
    """Restore pictures one after the other.

    Those on which another process works are looked at again in the end; ``waiting`` is told how many they are.
    """
    left = list(jobs)
    while left := _round(of, left, tell, bar):
        waiting(len(left))
        time.sleep(PAUSE)


def _round(of: Run, jobs: Sequence[Job], tell: Tell, bar: Bar) -> list[Job]:
    """The pictures on which another process works."""
    held: list[Job] = []
    queue = iter(jobs)

    def sort(job: Job, result: Result) -> None:
        if result.held:
            held.append(job)
        else:
            tell(job, result)

    Pipeline(of, sort, bar).run(lambda waiting: next(queue, None))
    return held

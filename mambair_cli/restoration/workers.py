"""One worker per device; pictures are handed out one by one, and those of a worker that dies are handed out again.

Workers are processes of this machine (``processes.py``) or actors of a cluster (``cluster.py``).
"""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Protocol

from ..errors import DeviceError, MambairError
from .batch import PAUSE, Tell
from .choices import Choices
from .engine import Progress
from .picture import Run
from .record import Records
from .result import Job, Result

IN_FLIGHT = 3
"""Pictures per worker: one being read, one in the network, one being written."""
ATTEMPTS = 2
PATIENCE = 10
"""Seconds in which a worker that is told to stop cleans up."""


@dataclass(frozen=True)
class Orders:
    """What every worker is told at its start; models are names or files."""

    model: str
    choices: Choices
    fingerprint: str | None
    threads: int
    for_poor: str | None = None

    def run(self, device: str) -> Run:
        """Load the models, for this process.

        Raises:
            MambairError: a model or the device cannot be used.
        """
        import cv2
        import torch

        from .. import plugins
        from ..weights.loader import load
        from .memory import keep_freed_memory

        plugins.inherited()
        keep_freed_memory()
        torch.set_num_threads(self.threads)
        cv2.setNumThreads(self.threads)
        for_poor = load(self.for_poor, device) if self.for_poor else None
        return Run(load(self.model, device), self.choices, Records(self.fingerprint), for_poor=for_poor)


class State(Enum):
    """News of a worker itself."""

    ready = "ready"
    died = "died"
    gone = "gone"
    """It cannot be started again: its node is not there any more."""


@dataclass(frozen=True)
class Done:
    """News of a picture, by its number."""

    number: int
    result: Result


Message = Done | State | MambairError
"""What comes of a worker; an error tells that it cannot begin."""


@dataclass(eq=False, kw_only=True)
class Worker:
    """Restores on one device; ``jobs`` are the numbers of the pictures that it has."""

    device: str
    first: bool
    ready: bool = False
    jobs: list[int] = field(default_factory=list)

    def send(self, number: int, job: Job) -> None:
        """Give it a picture. That it has died meanwhile is told by the next :meth:`Crew.collect`."""
        raise NotImplementedError


class Crew(Protocol):
    """Where workers are: on this machine, or on those of a cluster."""

    @property
    def devices(self) -> Sequence[str]:
        """One worker is started for each; a device may be named more than once."""

    def start(self, device: str, first: bool) -> Worker:
        """Start a worker, without waiting for it; ``first``: it takes the place of no other."""

    def collect(self, workers: Sequence[Worker]) -> Iterable[tuple[Worker, Message]]:
        """Wait until there is news, and tell all; of a worker that died, its end comes last."""

    def stop(self, workers: Sequence[Worker], at_once: bool) -> None:
        """Let workers end by themselves, or interrupt them; all are gone then."""


class Team:
    """Shares pictures among devices.

    Args:
        crew: starts a worker for each of its devices.
        of: knows what a result looks like that no worker could give.
    """

    def __init__(self, crew: Crew, of: Run) -> None:
        self.crew, self.of = crew, of
        self.workers: list[Worker] = []
        self.jobs: list[Job] = []
        self.queue: deque[int] = deque()
        self.attempts: list[int] = []
        self.held: list[int] = []
        self.results: dict[int, Result | None] = {}
        self.told = 0

    def run(self, jobs: Sequence[Job], tell: Tell, progress: Progress) -> None:
        """Restore all pictures; results are told in their order, except those on which another process worked.

        Raises:
            MambairError: a worker could not start its work.
        """
        self.jobs, self.queue, self.attempts = list(jobs), deque(range(len(jobs))), [0] * len(jobs)
        left, at_once = len(jobs), True
        try:
            for device in self.crew.devices:
                self.workers.append(self.crew.start(device, first=True))
            while left:
                self._hand_out()
                for number, result in self._collect():
                    left -= 1
                    progress(len(jobs) - left, len(jobs))
                    self._tell(number, result, tell)
            at_once = False
        finally:
            self.crew.stop(self.workers, at_once)

    def _hand_out(self) -> None:
        """Nothing before every device is known to work, or a fast one could do all and hide that another is missing."""
        if any(worker.first and not worker.ready for worker in self.workers):
            return
        if self.held and not self.queue and not any(worker.jobs for worker in self.workers):
            time.sleep(PAUSE)
            self.queue.extend(self.held)
            self.held = []
        for worker in self.workers:
            while worker.ready and self.queue and self._may_take(worker, self.queue[0]):
                number = self.queue.popleft()
                worker.jobs.append(number)
                worker.send(number, replace(self.jobs[number], again=self.attempts[number] > 0))

    def _may_take(self, worker: Worker, number: int) -> bool:
        """A picture that may have killed a process is given to one that has no other."""
        if self.attempts[number] or any(self.attempts[other] for other in worker.jobs):
            return not worker.jobs
        return len(worker.jobs) < IN_FLIGHT

    def _collect(self) -> list[tuple[int, Result]]:
        """What came since the last time; waits until something does, unless nothing can."""
        found: list[tuple[int, Result]] = []
        if not any(worker.jobs or not worker.ready for worker in self.workers):
            return found if self.workers else self._none_left()
        for worker, message in self.crew.collect(self.workers):
            if isinstance(message, Done):
                worker.jobs.remove(message.number)
                found += self._result(message.number, message.result)
            elif message is State.ready:
                worker.ready = True
            elif message is State.died:
                found += self._died(worker)
            elif message is State.gone:
                self.workers.remove(worker)
            elif worker.first:
                raise message
            else:  # a device that is gone after a restart
                found += self._died(worker)
        return found

    def _result(self, number: int, result: Result) -> list[tuple[int, Result]]:
        if result.held:
            self.held.append(number)
            self.results[number] = None
            return []
        return [(number, result)]

    def _died(self, worker: Worker) -> list[tuple[int, Result]]:
        self.crew.stop([worker], at_once=True)
        self.workers.remove(worker)
        if worker.first and not worker.ready:
            raise DeviceError(f"The process for {worker.device} ended before it could begin.", "Look at its messages.")
        if worker.ready:  # else its device does not work any more
            self.workers.append(self.crew.start(worker.device, first=False))
        lost = []
        for number in reversed(worker.jobs):
            self.attempts[number] += 1
            if self.attempts[number] < ATTEMPTS:
                self.queue.appendleft(number)
            else:
                lost.append((number, self._lost(number, f"The process that restored {self.jobs[number].source} died")))
        return lost[::-1]

    def _none_left(self) -> list[tuple[int, Result]]:
        numbers = [*self.queue, *self.held]
        self.queue, self.held = deque(), []
        return [(number, self._lost(number, "No device is left that works")) for number in numbers]

    def _lost(self, number: int, what: str) -> Result:
        result = self.of.new(self.jobs[number]).result
        error = MambairError(f"{what}.", "It may need too much memory: try it alone with a smaller --tile.")
        result.error, result.hint = error.message, error.hint
        return result

    def _tell(self, number: int, result: Result, tell: Tell) -> None:
        if number in self.results:  # its turn has passed
            self.results[number] = None
            tell(self.jobs[number], result)
            return
        self.results[number] = result
        while self.told in self.results:
            ready = self.results[self.told]
            self.told += 1
            if ready is not None:
                tell(self.jobs[self.told - 1], ready)

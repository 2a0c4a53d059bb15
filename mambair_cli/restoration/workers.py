"""One process per device; pictures are handed out one by one, and those of a process that dies are handed out again."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from typing import Any

from ..errors import DeviceError, MambairError, explained
from .batch import PAUSE, Pipeline, Tell
from .choices import Choices
from .engine import Progress
from .one import Restorer
from .result import Job, Result

if sys.platform == "win32":
    from multiprocessing.connection import PipeConnection as Connection
else:
    from multiprocessing.connection import Connection

IN_FLIGHT = 3
"""Pictures per process: one being read, one in the network, one being written."""
ATTEMPTS = 2
PATIENCE = 10
"""Seconds in which a process that is told to stop cleans up."""


@dataclass(frozen=True)
class Orders:
    """What every process is told at its start; models are names or files."""

    model: str
    choices: Choices
    recipe: str | None
    threads: int
    for_poor: str | None = None


def _serve(connection: Connection, device: str, orders: Orders) -> None:
    """The work of one process, until the other end of the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells the whole group; the parent decides
    with suppress(KeyboardInterrupt, ConnectionError):  # the parent wants nothing any more
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            threading.Thread(target=_end_with_parent, daemon=True).start()
            _work(connection, device, orders)
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing is left to be cleaned up


def _work(connection: Connection, device: str, orders: Orders) -> None:
    try:
        restorer = _restorer(device, orders)
    except Exception as error:
        connection.send(explained(error, f"The start on {device}"))
        return
    connection.send(None)
    pipeline = Pipeline(restorer, lambda job, result: connection.send(result), lambda job: nullcontext(_silent))
    pipeline.run(lambda waiting: _receive(connection, waiting))


def _interrupt(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough, and cleaning up must not be interrupted
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _restorer(device: str, orders: Orders) -> Restorer:
    import cv2
    import torch

    from .. import plugins
    from ..weights.loader import load
    from .memory import keep_freed_memory

    plugins.inherited()
    keep_freed_memory()
    torch.set_num_threads(orders.threads)
    cv2.setNumThreads(orders.threads)
    for_poor = load(orders.for_poor, device) if orders.for_poor else None
    return Restorer(load(orders.model, device), orders.choices, orders.recipe, for_poor=for_poor)


def _silent(done: int, total: int) -> None:
    """The parent counts pictures."""


def _receive(connection: Connection, waiting: bool) -> Job | None:
    try:
        return connection.recv() if waiting or connection.poll() else None
    except (EOFError, ConnectionError):
        return None


@contextmanager
def _no_interruption() -> Iterator[None]:
    """What is started within is deaf to Ctrl-C from its first moment."""
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # which would end the silence
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@dataclass
class _Worker:
    """A process; ``jobs`` are the numbers of those that it has."""

    device: str
    process: SpawnProcess
    connection: Connection
    first: bool
    ready: bool = False
    jobs: list[int] = field(default_factory=list)

    @classmethod
    def start(cls, device: str, orders: Orders, first: bool = True) -> "_Worker":
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, device, orders), daemon=True)
        with _no_interruption():
            process.start()
        theirs.close()  # so that its end is the end of the connection
        return cls(device, process, ours, first)

    def stop(self, at_once: bool) -> None:
        """Let it end by itself, or interrupt it."""
        self.connection.close()
        if at_once or not self.ready:
            self.process.terminate()
        self.process.join(PATIENCE)
        self.process.kill()
        self.process.join()


class Team:
    """Shares pictures among devices.

    Args:
        devices: one process is started for each; a device may be named more than once.
        orders: what they are told.
        restorer: knows what a result looks like that no process could give.
    """

    def __init__(self, devices: Sequence[str], orders: Orders, restorer: Restorer) -> None:
        self.devices, self.orders, self.restorer = devices, orders, restorer
        self.workers: list[_Worker] = []
        self.jobs: list[Job] = []
        self.queue: deque[int] = deque()
        self.attempts: list[int] = []
        self.held: list[int] = []
        self.results: dict[int, Result | None] = {}
        self.told = 0

    def run(self, jobs: Sequence[Job], tell: Tell, progress: Progress) -> None:
        """Restore all pictures; results are told in their order, except those on which another process worked.

        Raises:
            MambairError: a process could not start its work.
        """
        self.jobs, self.queue, self.attempts = list(jobs), deque(range(len(jobs))), [0] * len(jobs)
        left, at_once = len(jobs), True
        try:
            self.workers = [_Worker.start(device, self.orders) for device in self.devices]
            while left:
                self._hand_out()
                for number, result in self._collect():
                    left -= 1
                    progress(len(jobs) - left, len(jobs))
                    self._tell(number, result, tell)
            at_once = False
        finally:
            for worker in self.workers:
                worker.stop(at_once)

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
                with suppress(OSError):  # it has died, which the next look at the connection tells
                    worker.connection.send(replace(self.jobs[number], again=self.attempts[number] > 0))

    def _may_take(self, worker: _Worker, number: int) -> bool:
        """A picture that may have killed a process is given to one that has no other."""
        if self.attempts[number] or any(self.attempts[other] for other in worker.jobs):
            return not worker.jobs
        return len(worker.jobs) < IN_FLIGHT

    def _collect(self) -> list[tuple[int, Result]]:
        """What came since the last time; waits until something does, unless nothing can."""
        found: list[tuple[int, Result]] = []
        if not any(worker.jobs or not worker.ready for worker in self.workers):
            return found if self.workers else self._none_left()
        connections: Any = wait([worker.connection for worker in self.workers])
        for worker in [worker for worker in self.workers if worker.connection in connections]:
            try:
                message = worker.connection.recv()
            except (EOFError, OSError):
                found += self._died(worker)
                continue
            if isinstance(message, Result):
                found += self._result(worker.jobs.pop(0), message)
            elif message is None:
                worker.ready = True
            elif worker.first:
                raise message
            # a device that is gone after a restart ends the connection, too
        return found

    def _result(self, number: int, result: Result) -> list[tuple[int, Result]]:
        if result.held:
            self.held.append(number)
            self.results[number] = None
            return []
        return [(number, result)]

    def _died(self, worker: _Worker) -> list[tuple[int, Result]]:
        worker.stop(at_once=True)
        self.workers.remove(worker)
        if worker.first and not worker.ready:
            raise DeviceError(f"The process for {worker.device} ended before it could begin.", "Look at its messages.")
        if worker.ready:  # else its device does not work any more
            self.workers.append(_Worker.start(worker.device, self.orders, first=False))
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
        result = self.restorer.new(self.jobs[number]).result
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

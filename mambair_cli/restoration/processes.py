"""Workers as processes of this machine."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from typing import Any

from ..errors import explained
from .batch import Pipeline
from .result import Job, Result
from .workers import PATIENCE, Done, Message, Orders, State, Worker

if sys.platform == "win32":
    from multiprocessing.connection import PipeConnection as Connection
else:
    from multiprocessing.connection import Connection


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
        run = orders.run(device)
    except Exception as error:
        connection.send(explained(error, f"The start on {device}"))
        return
    connection.send(State.ready)

    def tell(job: Job, result: Result) -> None:
        with suppress(ConnectionError):  # the parent is gone, and this process ends with it
            connection.send(result)

    pipeline = Pipeline(run, tell, lambda job: nullcontext(_silent))
    pipeline.run(lambda waiting: _receive(connection, waiting))


def _interrupt(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough, and cleaning up must not be interrupted
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


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


@dataclass(eq=False, kw_only=True)
class Process(Worker):
    """A worker with a process of its own."""

    process: SpawnProcess
    connection: Connection

    def send(self, number: int, job: Job) -> None:
        """Pictures are answered in the order in which they are sent."""
        with suppress(OSError):
            self.connection.send(job)


@dataclass(frozen=True)
class Processes:
    """A crew on this machine."""

    devices: Sequence[str]
    orders: Orders

    def start(self, device: str, first: bool) -> Worker:
        """Start a process."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, device, self.orders), daemon=True)
        with _no_interruption():
            process.start()
        theirs.close()  # so that its end is the end of the connection
        return Process(device=device, first=first, process=process, connection=ours)

    def collect(self, workers: Sequence[Worker]) -> Iterator[tuple[Worker, Message]]:
        """What came of those that have something to say."""
        of = {worker.connection: worker for worker in workers if isinstance(worker, Process)}
        connections: Any = wait(list(of))
        for connection in connections:
            worker = of[connection]
            try:
                message = connection.recv()
            except (EOFError, OSError):
                yield worker, State.died
                continue
            yield worker, Done(worker.jobs[0], message) if isinstance(message, Result) else message

    def stop(self, workers: Sequence[Worker], at_once: bool) -> None:
        """Tell all before waiting for the first."""
        every = [worker for worker in workers if isinstance(worker, Process)]
        for worker in every:
            worker.connection.close()
            if at_once or not worker.ready:
                worker.process.terminate()
        for worker in every:
            worker.process.join(PATIENCE)
            worker.process.kill()
            worker.process.join()

"""The worker's side: an actor restores pictures, and helps with those of others while it has none."""

import asyncio
import math
import os
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue

from ..errors import MambairError, explained
from ..restoration.batch import Pipeline
from ..restoration.result import Job, Result
from ..restoration.tiles import Floats, TileRow
from ..restoration.workers import PATIENCE, Orders
from .connection import Setting
from .helping import Helper
from .leading import Leader
from .sheet import Key, Reply, Sheet

LEASE = 30.0
"""Seconds for which a worker waits for more to do of a picture before it helps with another."""


class _Given(BaseException):
    """Nobody wants the result any more."""


@dataclass(frozen=True)
class _Picture:
    job: Job
    answer: "Future[Result]" = field(default_factory=Future)


@dataclass(frozen=True)
class _Favour:
    key: Key
    sheet: Sheet
    row: TileRow
    answer: "Future[Reply]" = field(default_factory=Future)


class Actor:
    """A pipeline in a thread of its own; each call waits for what it asked for.

    Calls are coroutines because those of an actor begin in the order in which they were sent; threads do not.
    """

    def __init__(self, device: str, orders: Orders, setting: Setting) -> None:
        self.device, self.orders, self.setting = device, orders, setting
        self.queue: SimpleQueue[_Picture | _Favour | None] = SimpleQueue()
        self.taken: deque[Future[Result]] = deque()
        self.own = 0
        self.begun: Future[MambairError | None] = Future()
        self.unwanted = False
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.helper: Helper | None = None
        self.leader, self.until = "", 0.0

    async def ready(self) -> MambairError | None:
        """Begin; returns what is in the way."""
        self.thread.start()
        return await asyncio.wrap_future(self.begun)

    async def end(self) -> None:
        """Answered by the end of the process alone, which would not show while nothing else is asked for."""
        await asyncio.Event().wait()

    async def restore(self, job: Job) -> Result:
        """What becomes of a picture. Several may be on their way."""
        picture = _Picture(job)
        self.own += 1
        self.queue.put(picture)
        try:
            return await asyncio.wrap_future(picture.answer)
        finally:
            self.own -= 1

    async def help(self, key: Key, sheet: Sheet, row: TileRow) -> Reply:
        """Make a row of tiles of the picture of another worker, and keep it for :meth:`piece`."""
        leader, now = key[0], time.monotonic()
        if self.own or self.helper is None or (leader != self.leader and now < self.until):
            return None
        favour = _Favour(key, sheet, row)
        self.leader, self.until = leader, math.inf
        self.queue.put(favour)
        reply = await asyncio.wrap_future(favour.answer)
        self.until = time.monotonic() + LEASE
        return reply

    async def helped(self, leader: str) -> None:
        """Another worker wants nothing more for its picture."""
        if leader == self.leader:
            self.until = 0.0

    async def piece(self, key: Key, start: int, stop: int) -> Floats:
        """Rows [start, stop) of what :meth:`help` kept, until the last of them has been asked for."""
        assert self.helper is not None
        return self.helper.piece(key, start, stop)

    async def give_up(self) -> None:
        """Leave the pictures that are on their way, and nothing of them."""
        self.unwanted = True
        self.queue.put(None)
        await asyncio.to_thread(self.thread.join, PATIENCE)

    def _work(self) -> None:
        try:
            self.setting.enter()
            run = self.orders.run(self.device)
        except Exception as error:
            self.begun.set_result(explained(error, f"The start on {self.device}"))
            return
        self.helper = Helper(run, self._check)
        self.begun.set_result(None)
        choices = run.choices
        dividing = replace(run, sharing=lambda job, result, poor: Leader(job, result, poor, choices, self._check))
        pipeline = Pipeline(dividing, self._tell, lambda job: nullcontext(self._watched))
        with suppress(_Given), self.helper:
            try:
                pipeline.run(self._take)
            except Exception:  # a fault of ours, which must not leave the driver waiting
                os._exit(1)

    def _take(self, waiting: bool) -> Job | None:
        """The next picture. Favours came while there was none, so they are done first."""
        assert self.helper is not None
        while True:
            try:
                order = self.queue.get(block=waiting)
            except Empty:
                return None
            if isinstance(order, _Favour):
                order.answer.set_result(self.helper.make(order.key, order.sheet, order.row))
                continue
            self.helper.close()
            if order is None:
                return None
            self.taken.append(order.answer)
            return order.job

    def _tell(self, job: Job, result: Result) -> None:
        self.taken.popleft().set_result(result)

    def _watched(self, done: int, total: int) -> None:
        self._check()

    def _check(self) -> None:
        if self.unwanted:
            raise _Given

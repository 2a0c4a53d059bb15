"""One picture over several workers: the one that has it gives rows of tiles to those that have nothing else to do."""

import importlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from ..errors import InputError, MambairError
from ..locations import either
from ..locations.url import Url
from ..restoration.choices import Choices
from ..restoration.result import Job, Result
from ..restoration.tiles import Floats, Make, TileRow, alone
from .sheet import Key, Sheet

AHEAD = 2
"""Strips that a helper has: one in the network, and one that waits for it or to be fetched."""
PIECE = 8 << 20
"""Bytes of a strip that travel at once."""
REST = 2.0
"""Seconds before a worker that had no time is asked again, and others are looked for."""


@dataclass(frozen=True)
class Leader:
    """Divides one picture; a :data:`mambair_cli.restoration.tiles.Sharing`.

    In half precision a picture stays with one worker: one that meets a value that is not a number does the rest of the
    picture in full precision, of which the others would know nothing.

    Attributes:
        result: gets the number of workers, and what kept others from helping.
        poor: whether the picture is for the model for pictures with noise or JPEG artefacts.
        check: called now and then; raises if nobody wants the picture any more.
    """

    job: Job
    result: Result
    poor: bool
    choices: Choices
    check: Callable[[], None]

    def __call__(self, rows: Sequence[TileRow], make: Make) -> Iterator[Floats | None]:
        """See :data:`mambair_cli.restoration.tiles.Sharing`."""
        regular = isinstance(self.job.source, Url) or self.job.source.is_file()  # a pipe can be read only once
        if len(rows) > 1 and regular and self.choices.precision == "fp32":
            with suppress(OSError, InputError):  # gone since it was read
                sheet = Sheet(self.job, either.state(self.job.source), self.poor)
                return _Division(self, sheet, rows, make).strips()
        return alone(rows, make)


@dataclass(eq=False)
class _Helper:
    """Another worker; ``asked`` are calls that are not answered, ``made`` what is to be fetched."""

    actor: Any
    asked: dict[Any, tuple[int, Key]] = field(default_factory=dict)
    made: dict[int, tuple[Key, tuple[int, int, int]]] = field(default_factory=dict)
    resting: float = 0.0

    @property
    def free(self) -> bool:
        return len(self.asked) + len(self.made) < AHEAD and time.monotonic() >= self.resting


class _Division:
    """Rows of tiles on their way, by their numbers.

    Attributes:
        left: given to nobody.
        own: the one that this worker does, perhaps before its turn; ``early`` if it has been done.
    """

    def __init__(self, of: Leader, sheet: Sheet, rows: Sequence[TileRow], make: Make) -> None:
        self.of, self.sheet, self.rows, self.make = of, sheet, rows, make
        self.ray = importlib.import_module("ray")
        self.name: str = self.ray.get_runtime_context().get_actor_name()
        self.keys = count()
        self.left = deque(range(len(rows)))
        self.own: int | None = None
        self.early: list[Floats | None] = []
        self.helpers: dict[str, _Helper] = {}
        self.lost: set[str] = set()
        self.useful: set[str] = set()
        self.looked = -REST

    def strips(self) -> Iterator[Floats | None]:
        """In order, while helpers are at most :data:`AHEAD` strips each ahead of what is asked for."""
        try:
            for number in range(len(self.rows)):
                yield self._strip(number)
        finally:
            for helper in self.helpers.values():
                helper.actor.helped.remote(self.name)

    def _strip(self, number: int) -> Floats | None:
        while True:
            self.of.check()
            self._look_around()
            self._hand_out()
            self._hear(0)
            if name := next((name for name, helper in self.helpers.items() if number in helper.made), None):
                strip = self._fetched(name, number)
                if strip is not None:
                    return strip
            elif number in self.left:  # it came back
                self.left.remove(number)
                return self.make(self.rows[number])
            elif number == self.own:
                self.own = None
                return self.early.pop() if self.early else self.make(self.rows[number])
            elif self.own is not None and not self.early:
                self.early.append(self.make(self.rows[self.own]))
            else:
                self._hear(1)

    def _look_around(self) -> None:
        """Find workers of this run, some of which may have been started since the last time."""
        if time.monotonic() < self.looked + REST:
            return
        self.looked = time.monotonic()
        for name in self.ray.util.list_named_actors():
            if name != self.name and name not in self.lost and name not in self.helpers:
                with suppress(ValueError):  # gone meanwhile
                    self.helpers[name] = _Helper(self.ray.get_actor(name))

    def _hand_out(self) -> None:
        """First a row for this worker, then one for each of the others, then their second ones."""
        if self.own is None and self.left:
            self.own = self.left.popleft()
        for _ in range(AHEAD):
            for helper in self.helpers.values():
                if self.left and helper.free:
                    number, key = self.left.popleft(), (self.name, next(self.keys))
                    helper.asked[helper.actor.help.remote(key, self.sheet, self.rows[number])] = number, key

    def _hear(self, seconds: float) -> None:
        """All answers that are there; waits at most so long for the first."""
        of = {call: name for name, helper in self.helpers.items() for call in helper.asked}
        if not of:
            time.sleep(min(seconds, REST / 10))
            return
        if seconds:
            self.ray.wait(list(of), timeout=seconds)
        there, _ = self.ray.wait(list(of), num_returns=len(of), timeout=0)
        for call in there:
            if of[call] in self.helpers:
                self._answered(of[call], call)

    def _answered(self, name: str, call: Any) -> None:
        helper = self.helpers[name]
        try:
            reply = self.ray.get(call)
        except self.ray.exceptions.RayError:
            self._lose(name)
            return
        number, key = helper.asked.pop(call)
        if isinstance(reply, tuple):
            helper.made[number] = key, reply
            return
        self._back([number])
        if isinstance(reply, MambairError):
            self.of.result.notes.append(f"a worker could not help: {reply.message.rstrip('.')}")
            self._lose(name)
        else:
            helper.resting = time.monotonic() + REST

    def _fetched(self, name: str, number: int) -> Floats | None:
        """A strip that was made elsewhere, piece by piece; None if it is lost."""
        helper = self.helpers[name]
        key, shape = helper.made[number]
        strip = np.empty(shape, np.float32)
        step = max(1, PIECE // strip[0].nbytes)
        spans = [(start, min(start + step, shape[0])) for start in range(0, shape[0], step)]
        try:
            call = helper.actor.piece.remote(key, *spans[0])
            for (start, stop), following in zip(spans, [*spans[1:], None], strict=True):
                coming = helper.actor.piece.remote(key, *following) if following else None
                strip[start:stop] = self.ray.get(call)
                call = coming
        except self.ray.exceptions.RayError:
            self._lose(name)
            return None
        del helper.made[number]
        self.useful.add(name)
        self.of.result.workers = 1 + len(self.useful)
        return strip

    def _lose(self, name: str) -> None:
        """Take back what a worker has, and ask it no more."""
        helper = self.helpers.pop(name)
        self.lost.add(name)
        self._back([*(number for number, _ in helper.asked.values()), *helper.made])

    def _back(self, numbers: Sequence[int]) -> None:
        self.left = deque(sorted([*self.left, *numbers]))

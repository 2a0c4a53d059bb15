"""Interruptions that wait until the step is done, so that what is saved is the state between two steps."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..interruptions import SIGNALS

ECHO = 2.0
"""Seconds in which a second signal is the first one again: a terminal's Ctrl-C reaches a launcher and its processes,
and the launcher passes it on."""


class Interruption:
    """Whether a signal to end came; an impatient second one no longer waits."""

    def __init__(self) -> None:
        self.number = 0
        self._since = 0.0
        self._before: dict[int, Any] = {}

    def take(self, number: int) -> None:
        """A signal came, to this process or to another one of the same training."""
        if not self.number:
            self.number, self._since = number, time.monotonic()

    def _note(self, number: int, frame: object) -> None:
        if not self.number:
            self.take(number)
        elif time.monotonic() - self._since > ECHO:
            self.act()

    def catch(self) -> None:
        """Take over the signals that are not ignored."""
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)

    def release(self) -> None:
        """Give the signals back to who had them before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def act(self) -> None:
        """Now let the signal do what it would have done, if one came."""
        self.release()
        if self.number:
            signal.raise_signal(self.number)


@contextmanager
def deferred() -> Iterator[Interruption]:
    """Signals are noted instead of acted upon, until :meth:`Interruption.act`."""
    interruption = Interruption()
    interruption.catch()
    try:
        yield interruption
    finally:
        interruption.release()

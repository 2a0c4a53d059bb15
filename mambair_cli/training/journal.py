"""What a run writes down: a log for people, rows for programs, curves for trackers."""

import json
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..files import atomic
from .trackers import Picture, Tracker

ROWS = "log.jsonl"
LOG = "train.log"


class _Warnings(logging.Handler):
    """What is said twice in a row is shown once: BasicSR loads weights for the network and again for its average."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self.warn, self.last = warn, ""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text != self.last:
            self.warn(text)
        self.last = text


@contextmanager
def warnings_shown(warn: Callable[[str], None]) -> Iterator[None]:
    """Show what BasicSR warns about, while it builds as while it trains."""
    logger, handler = logging.getLogger("basicsr"), _Warnings(warn)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class Journal:
    """Of one experiment, written by its first process alone.

    ``log.jsonl`` holds nothing that depends on the machine or the clock: a resumed run leaves the same rows as one that
    was never stopped.

    Args:
        folder: of the experiment.
        iteration: the one to go on from; rows and curves after it are removed.
        trackers: are given the numbers, too.
    """

    def __init__(self, folder: Path, iteration: int, trackers: Sequence[Tracker] = ()) -> None:
        self.rows = folder / ROWS
        _cut(self.rows, iteration)
        self.logger = logging.getLogger("basicsr")
        self.handler = logging.FileHandler(folder / LOG, encoding="utf-8")
        self.handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s: %(message)s"))
        self.logger.addHandler(self.handler)
        self.trackers = trackers

    def row(self, **values: Any) -> None:
        """Add a row; numbers beside ``iter`` become points of curves. What JSON lacks, NaN and infinity, is null."""
        with self.rows.open("a", encoding="utf-8") as file:
            file.write(json.dumps({name: _finite(value) for name, value in values.items()}, allow_nan=False) + "\n")
        numbers = {name: value for name, value in values.items() if isinstance(value, float)}
        for tracker in self.trackers:
            tracker.numbers(values["iter"], numbers)

    def picture(self, iteration: int, name: str, picture: Picture) -> None:
        """Have those that show pictures show one."""
        for tracker in self.trackers:
            tracker.picture(iteration, name, picture)

    def say(self, text: str) -> None:
        """Add a line to the log."""
        self.logger.info(text)

    def close(self) -> None:
        """Give up the files."""
        self.logger.removeHandler(self.handler)
        self.handler.close()
        for tracker in self.trackers:
            tracker.close()


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cut(path: Path, iteration: int) -> None:
    """Keep whole rows up to ``iteration``: a killed run got further than its last checkpoint, perhaps into a line."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        try:
            if not line.endswith("\n") or json.loads(line)["iter"] > iteration:
                break
        except (ValueError, LookupError, TypeError):  # after a power failure, zeros say
            break
        kept.append(line)
    atomic.write(path, "".join(kept))

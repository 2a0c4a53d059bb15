"""What was fetched into a folder: checksums of first use, against which later fetches are verified."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from ...errors import FetchError
from ...files import atomic, locks
from ...locations.url import Location

NAME = "fetched.json"
WORK = ".fetch"
"""Folder within the root in which things are made that are not ready yet."""


@dataclass(frozen=True)
class Receipt:
    """One thing that was fetched. ``sha256`` is that of the file that came, packed as it was."""

    sha256: str
    bytes: int
    source: str
    date: str

    @classmethod
    def now(cls, sha256: str, size: int, source: str) -> "Receipt":
        """A record of today."""
        return cls(sha256, size, source, datetime.now(UTC).date().isoformat())


def find(root: Path, name: str) -> Receipt | None:
    """What is recorded of ``name``.

    Raises:
        FetchError: the record cannot be read.
    """
    return _read(root / NAME).get(name)


def add(root: Path, name: str, record: Receipt) -> None:
    """Note what was fetched; other processes may do the same."""
    with lock(root, NAME):
        everything = _read(root / NAME) | {name: record}
        locks.sweep(root)
        atomic.write(root / NAME, text(everything))


def text(everything: dict[str, Receipt]) -> str:
    """The content of a record."""
    return json.dumps({key: asdict(value) for key, value in everything.items()}, indent=1, sort_keys=True) + "\n"


def _read(path: Path) -> dict[str, Receipt]:
    try:
        return parse(path.read_bytes(), path)
    except FileNotFoundError:
        return {}


def parse(content: bytes, place: Location) -> dict[str, Receipt]:
    """A record, from the content of its file.

    Raises:
        FetchError: it is none.
    """
    try:
        return {name: Receipt(**facts) for name, facts in json.loads(content).items()}
    except (ValueError, TypeError, AttributeError):
        raise FetchError(
            f"{place}, the record of what was fetched, cannot be read.",
            "Restore it, or move it away to begin a new one.",
        ) from None


@contextmanager
def lock(root: Path, name: str, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold ``name`` in ``root`` against other processes; ``waiting`` is called if one of them holds it now.

    The system lets go of it when the process ends, however it ends.
    """
    (root / WORK).mkdir(parents=True, exist_ok=True)
    with locks.held(root / WORK / f"{name}.lock", locks.FOREVER, waiting):
        yield

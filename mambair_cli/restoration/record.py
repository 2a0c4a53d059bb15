"""What was made of what: a line per result in a hidden file beside the results, so that a later run can skip them.

A line is written before the result gets its name. So a result without a line is somebody else's, and a line without its
result is one of a run that was killed in between.
"""

import hashlib
import json
import os
import threading
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..images.files import writing

NAME = ".mambair.jsonl"
VERSION = 1


@dataclass(frozen=True)
class Stamp:
    """By which a file is known again; ``place`` is its name, or its whole path where others may have the same name."""

    place: str
    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path, place: str) -> "Stamp":
        """Of a file as it is now.

        Raises:
            OSError: it cannot be read.
        """
        state = path.stat()
        return cls(place, state.st_size, state.st_mtime_ns, _digest(path))

    def fits(self, path: Path, place: str) -> bool:
        """Whether this is that file: by its date if it is where it was, else by its content.

        Raises:
            OSError: it cannot be read.
        """
        state = path.stat()
        if state.st_size != self.size:
            return False
        return (self.place, self.mtime_ns) == (place, state.st_mtime_ns) or _digest(path) == self.sha256


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def source_stamp(path: Path) -> Stamp:
    """Of an input."""
    return Stamp.of(path, os.path.abspath(path))  # noqa: PTH100  (follows no links, asks nothing)


class Reading:
    """An input that is being read, of which is recorded what it was.

    Raises:
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.before = path, path.stat()

    def stamp(self) -> Stamp:
        """Once it has been read.

        Raises:
            InputError: it is not what it was before.
        """
        found = source_stamp(self.path)
        if (self.before.st_size, self.before.st_mtime_ns) != (found.size, found.mtime_ns):
            raise InputError(f"{self.path} changed while it was read.", "Run again when it is complete.")
        return found


@dataclass(frozen=True)
class Entry:
    """One result, the input that it was made of, and the fingerprint of weights and choices."""

    made: Stamp
    read: Stamp
    fingerprint: str


class Record:
    """Of one folder; other threads and processes may write to it, too."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._known: dict[str, list[Entry]] = defaultdict(list)
        self._position = 0
        self._lock = threading.Lock()

    def maker(self, target: Path) -> Entry | None:
        """How the file that ``target`` is now was made; None if it is not one of ours, or was changed since.

        Raises:
            OSError: the file or the record cannot be read.
        """
        with self._lock:
            self._catch_up()
            entries = self._known[target.name]
        return next((entry for entry in reversed(entries) if entry.made.fits(target, target.name)), None)

    def add(self, entry: Entry) -> None:
        """Write a line down to the disk.

        Raises:
            OutputError: it cannot be written.
        """
        facts = {"made": asdict(entry.made), "read": asdict(entry.read), "recipe": entry.fingerprint}
        line = json.dumps({"version": VERSION, **facts}).encode() + b"\n"
        with self._lock, writing(self.path), self.path.open("a+b") as file:
            if file.tell() and not self._ends_a_line(file):
                line = b"\n" + line
            file.write(line)  # in one piece, so that lines of several processes do not mix
            file.flush()
            os.fsync(file.fileno())

    @staticmethod
    def _ends_a_line(file: Any) -> bool:
        """False after a power cut that left half a line."""
        file.seek(-1, os.SEEK_END)
        return bool(file.read(1) == b"\n")

    def _catch_up(self) -> None:
        """Read what was added since the last time."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._position)
                new = file.read()
        except FileNotFoundError:
            return
        whole = new[: new.rfind(b"\n") + 1]
        self._position += len(whole)
        for line in whole.splitlines():
            if entry := _entry(line):
                self._known[entry.made.place].append(entry)


@dataclass(frozen=True)
class Records:
    """Those of all folders of a run.

    Attributes:
        fingerprint: of weights and choices; None if nothing is recorded.
    """

    fingerprint: str | None = None
    _known: dict[Path, Record] = field(default_factory=dict)

    def of(self, path: Path) -> Record:
        """That of the folder in which ``path`` is."""
        return self._known.setdefault(path.parent, Record(path.parent))


def _entry(line: bytes) -> Entry | None:
    """None for a line that says nothing to this version: its result counts as somebody else's, which is safe."""
    try:
        facts = json.loads(line)
        if facts["version"] != VERSION:
            return None
        return Entry(Stamp(**facts["made"]), Stamp(**facts["read"]), str(facts["recipe"]))
    except (ValueError, TypeError, KeyError):
        return None


def fingerprint(model: Path, choices: dict[str, Any], for_poor: Path | None = None) -> str:
    """A checksum over the weights, those for poor pictures too where there are any, and the choices.

    Raises:
        OSError: the weights cannot be read.
    """
    weights = {"weights": _digest(model)} | ({"for_poor": _digest(for_poor)} if for_poor else {})
    text = json.dumps(choices | weights, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()

"""What was made of what: a line per result in a hidden file beside the results, so that a later run can skip them.

A line is written before the result gets its name. So a result without a line is somebody else's, and a line without its
result is one of a run that was killed in between.
"""

import json
import os
import threading
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import atomic, checksum
from ..files.outputs import writing
from ..locations import either, objects
from ..locations.url import Location, Url

NAME = ".mambair.jsonl"
VERSION = 2


@dataclass(frozen=True)
class Stamp:
    """By which a file is known again.

    Attributes:
        place: its name, or its whole path or URL where others may have the same name.
        mtime_ns: when it was changed last; behind a URL, a number of its version.
    """

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
        return cls(place, *either.state(path), either.digest(path))

    def fits(self, path: Location, place: str) -> bool:
        """Whether this is that file: by its date or version if it is where it was, else by its content.

        Raises:
            OSError: it cannot be read.
            InputError: it cannot be read from its URL.
        """
        size, version = either.state(path)
        if size != self.size:
            return False
        if version and (self.place, self.mtime_ns) == (place, version):
            return True
        return either.digest(path) == self.sha256


class Reading:
    """An input that is being read, of which is recorded what it was.

    Raises:
        OSError: it cannot be read.
        InputError: it cannot be read from its URL.
    """

    def __init__(self, path: Location) -> None:
        self.path, self.before = path, either.state(path)
        self.copy: Path | None = None

    def of(self, copy: Path) -> "Reading":
        """The same where ``copy`` is what is read."""
        self.copy = copy
        return self

    def stamp(self) -> Stamp:
        """Once it has been read.

        Raises:
            InputError: it is not what it was before.
        """
        found = either.digest(self.copy or self.path)
        if self.before != either.state(self.path):
            raise InputError(f"{self.path} changed while it was read.", "Run again when it is complete.")
        return Stamp(either.absolute(self.path), *self.before, found)


@dataclass(frozen=True)
class Entry:
    """One result, the input that it was made of, and the fingerprint of weights and choices."""

    made: Stamp
    read: Stamp
    fingerprint: str


class Record:
    """Of one folder of this machine; other threads and processes may write to it, too."""

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
        line = _line(entry)
        with self._lock, writing(self.path), self.path.open("a+b") as file:
            if file.tell() and not self._ends_a_line(file):
                line = b"\n" + line
            file.write(line)  # in one piece, so that lines of several processes do not mix
            atomic.flush(file)

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


class StoredRecord:
    """Of one folder behind a URL: an object per result, since objects do not grow."""

    def __init__(self, folder: Url) -> None:
        self.folder = folder / objects.HIDDEN

    def maker(self, target: Url) -> Entry | None:
        """See :meth:`Record.maker`.

        Raises:
            InputError: the store does not answer.
        """
        entry = _entry(objects.read(self._of(target.name)) or b"")
        return entry if entry and entry.made.fits(target, target.name) else None

    def add(self, entry: Entry) -> None:
        """Write it in place of what was known of the result.

        Raises:
            OutputError: it cannot be written.
        """
        objects.write(self._of(entry.made.place), _line(entry))

    def _of(self, name: str) -> Url:
        return self.folder / f"{name}.json"


@dataclass(frozen=True)
class Records:
    """Those of all folders of a run.

    Attributes:
        fingerprint: of weights and choices; None if nothing is recorded.
    """

    fingerprint: str | None = None
    _known: dict[Path, Record] = field(default_factory=dict)

    def maker(self, target: Location) -> Entry | None:
        """See :meth:`Record.maker`."""
        if isinstance(target, Url):
            return StoredRecord(target.parent).maker(target)
        return self._of(target).maker(target)

    def add(self, target: Location, entry: Entry) -> None:
        """Note it in the folder of ``target``.

        Raises:
            OutputError: it cannot be written.
        """
        record = StoredRecord(target.parent) if isinstance(target, Url) else self._of(target)
        record.add(entry)

    def _of(self, path: Path) -> Record:
        return self._known.setdefault(path.parent, Record(path.parent))


def _line(entry: Entry) -> bytes:
    facts = {"made": asdict(entry.made), "read": asdict(entry.read), "fingerprint": entry.fingerprint}
    return json.dumps({"version": VERSION, **facts}).encode() + b"\n"


def _entry(line: bytes) -> Entry | None:
    """None for a line that says nothing to this version: its result counts as somebody else's, which is safe."""
    try:
        facts = json.loads(line)
        if facts["version"] != VERSION:
            return None
        return Entry(Stamp(**facts["made"]), Stamp(**facts["read"]), str(facts["fingerprint"]))
    except (ValueError, TypeError, KeyError):
        return None


def fingerprint(model: Path, choices: dict[str, Any], for_poor: Path | None = None) -> str:
    """A checksum over the weights, those for poor pictures too where there are any, and the choices.

    Raises:
        OSError: the weights cannot be read.
    """
    weights = {"weights": either.digest(model)} | ({"for_poor": either.digest(for_poor)} if for_poor else {})
    text = json.dumps(choices | weights, sort_keys=True)
    return checksum.of_text(text)

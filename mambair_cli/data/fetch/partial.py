"""The unfinished file of an earlier try, and a note of what it is a part of: only then can it be gone on with."""

import json
from glob import escape
from pathlib import Path
from typing import Any

TAIL = 1 << 16
"""Bytes at the end of a cut file that are fetched again: after a crash of the machine they may be holes."""

PART = "?" * 8 + ".part"
"""How gdown names an unfinished file, after the name that it will have."""


class Changed(Exception):
    """What the source has is not what the part on disk is of."""


def forget(target: Path) -> None:
    """Remove what would tell the next run that ``target`` is complete."""
    note(target).unlink(missing_ok=True)


def note(target: Path) -> Path:
    """The file that says what the unfinished file of ``target`` is a part of."""
    return target.with_name(f"{target.name}.source.json")


class Partial:
    """The unfinished file of a target, and a note of what it is a part of; of something else, it goes."""

    def __init__(self, target: Path, url: str) -> None:
        self.target, self.url = target, url
        self.note = note(target)
        self.total: int | None = None
        known = self._read()
        self.version: str = known.get("version", "")
        if known.get("url") != url:
            self.drop()
        else:
            self.total = known["total"]

    def _read(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self.note.read_text()))
        except (FileNotFoundError, ValueError):  # not there, or half a note: then the part is of nobody knows what
            return {}

    def files(self) -> list[Path]:
        """Unfinished files, the largest last; more than one only if something went wrong."""
        return sorted(self.target.parent.glob(escape(self.target.name) + PART), key=lambda path: path.stat().st_size)

    def size(self) -> int:
        """Bytes that are there."""
        return sum(path.stat().st_size for path in self.files())

    def trim(self) -> int:
        """Cut off what cannot be trusted; return what is left."""
        files = self.files()
        kept = max(0, files[-1].stat().st_size - TAIL) if files and self.note.is_file() else 0
        for path in files[:-1] if kept else files:
            path.unlink()
        if kept:
            with files[-1].open("r+b") as file:
                file.truncate(kept)
        return kept

    def drop(self) -> None:
        """Forget everything."""
        for path in (*self.files(), self.target, self.note):
            path.unlink(missing_ok=True)
        self.total, self.version = None, ""

    def compare(self, version: str) -> None:
        """Refuse content that the server calls otherwise (its ETag, say; nothing if it does not tell) than before."""
        if version and self.version and version != self.version:
            raise Changed("changes while it is fetched")
        self.version = self.version or version

    def check(self, total: int | None, begun: bool) -> None:
        """Compare with what the source announces, or note that."""
        if begun and total != self.total:
            raise Changed("has another size than before")
        if not self.note.is_file():
            self.note.write_text(json.dumps({"url": self.url, "version": self.version, "total": total}))
            self.total = total

"""Claims on outputs: a lock per file against other processes, and the removal of what killed processes left."""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LEFTOVER = re.compile(r"\.mambair-([0-9a-f]{16})(?:-(\d+)-\d+(?:-turned)?\.part(?:\.\w+)?|\.lock)")
"""Names of temporary files (with the process that made them) and of locks."""


def key(path: Path) -> str:
    """What temporary files and locks have in place of the file's name, which may be as long as names can be."""
    return hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether no other process holds ``path``; if so, this one does until the end.

    The system lets go of a lock when its process ends, however it ends. The folder must exist.

    Raises:
        OSError: the folder takes no lock.
    """
    with _lock(path.parent, key(path)) as free:
        yield free


@contextmanager
def _lock(folder: Path, name: str) -> Iterator[bool]:
    import filelock

    path = folder / f".mambair-{name}.lock"
    lock = filelock.FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        yield False
        return
    try:
        yield True
    finally:
        with suppress(OSError):  # on Windows it is removed by the next run
            path.unlink()  # while it is held: filelock takes no lock on a file that has lost its name
        lock.release()


def sweep(folder: Path) -> None:
    """Remove temporary files and locks of processes that are gone.

    Raises:
        OSError: the folder cannot be read or written to.
    """
    found: dict[str, list[tuple[Path, int]]] = defaultdict(list)
    with os.scandir(folder) as entries:
        for entry in entries:
            if match := LEFTOVER.fullmatch(entry.name):
                found[match[1]] += [(Path(entry.path), int(match[2]))] if match[2] else []
    for name, parts in found.items():
        with _lock(folder, name) as free:  # and a lock that nobody holds goes with this one
            for path, process in parts if free else []:
                if not _at_work(process, path):
                    path.unlink(missing_ok=True)


def _at_work(process: int, path: Path) -> bool:
    """Whether the process that made ``path`` runs; another one may have got its number since."""
    import psutil

    try:
        maker = psutil.Process(process)
        return maker.status() != psutil.STATUS_ZOMBIE and maker.create_time() <= path.stat().st_mtime + 1
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False
    except psutil.AccessDenied:
        return True

"""Locks against other processes, which vanish with their process, and the removal of what killed processes left."""

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .atomic import key

LEFTOVER = re.compile(r"\.mambair-([0-9a-f]{16})(?:-(\d+)-\d+(?:-turned)?\.part(?:\.\w+)?|\.lock)")
"""Names of temporary files and folders (with the process that made them) and of locks."""

FOREVER = -1.0


@contextmanager
def held(path: Path, patience: float = 0, waiting: Callable[[], None] = lambda: None) -> Iterator[bool]:
    """Whether no other process holds the lock ``path``; if so, this one does until the end.

    The system lets go of a lock when its process ends, however it ends. The folder must exist.

    Args:
        path: of a file that serves for nothing else.
        patience: seconds to wait for another process, :data:`FOREVER` if need be.
        waiting: is called before that.

    Raises:
        OSError: the folder takes no lock.
    """
    import filelock

    lock = filelock.FileLock(path, thread_local=False)
    try:
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            if not patience:
                raise
            waiting()
            lock.acquire(timeout=patience)
    except filelock.Timeout:
        yield False
        return
    try:
        yield True
    finally:
        with suppress(OSError):  # on Windows it stays
            path.unlink()  # while it is held: filelock takes no lock on a file that has lost its name
        lock.release()


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether no other process makes the file ``path``; if so, this one does until the end.

    Raises:
        OSError: the folder takes no lock.
    """
    with _claim(path.parent, key(path)) as free:
        yield free


@contextmanager
def _claim(folder: Path, name: str) -> Iterator[bool]:
    with held(folder / f".mambair-{name}.lock") as free:
        yield free


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
        with _claim(folder, name) as free:  # and a lock that nobody holds goes with this one
            for path, process in parts if free else []:
                if not _at_work(process, path):
                    _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
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

"""Files and folders that are there in full or not at all, not even after a crash.

They are made under a temporary name beside the final one, so on the same disk, brought down to the disk, and renamed.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO

NUMBERS = count()


def key(path: Path) -> str:
    """What temporary files and locks have in place of the file's name, which may be as long as names can be."""
    return hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]


def temporary_file(target: Path, suffix: str = "") -> Path:
    """An empty file beside ``target``, ending in ``suffix``; :func:`.locks.sweep` knows the name of a killed process's.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        path = _temporary(target, suffix)
        try:
            path.touch(exist_ok=False)
        except FileExistsError:  # left by a process of the same number that was killed
            continue
        return path


def _temporary(target: Path, suffix: str = "") -> Path:
    return target.with_name(f".mambair-{key(target)}-{os.getpid()}-{next(NUMBERS)}.part{suffix}")


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """An empty temporary file that takes the place of ``target`` in the end; after an exception, it goes.

    Raises:
        OSError: it cannot be made, brought to the disk or renamed.
    """
    temporary = temporary_file(target)
    try:
        yield temporary
        move(temporary, target)
    finally:
        with suppress(OSError):  # must not hide what happened before
            temporary.unlink(missing_ok=True)


@contextmanager
def making(target: Path) -> Iterator[Path]:
    """As :func:`replacing`, for a folder that is not there yet."""
    temporary = _temporary(target)
    shutil.rmtree(temporary, ignore_errors=True)  # left by a process of the same number that was killed
    try:
        temporary.mkdir()
        yield temporary
        move(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write(target: Path, text: str) -> None:
    """Replace ``target`` by a file with this text, in UTF-8.

    Raises:
        OSError: see :func:`replacing`.
    """
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def move(made: Path, target: Path) -> None:
    """Give what is complete, a file or a folder on the same disk, its name.

    Raises:
        OSError: it cannot be brought to the disk or renamed.
    """
    _flush(made)
    os.replace(made, target)  # noqa: PTH105
    _flush_names(target.parent)


def flush(file: IO[bytes]) -> None:
    """Bring what was written to an open file down to the disk.

    Raises:
        OSError: the disk does not take it.
    """
    file.flush()
    os.fsync(file.fileno())


def _flush(path: Path) -> None:
    if path.is_dir():
        for each in path.iterdir():
            if not each.is_symlink():
                _flush(each)
        _flush_names(path)
        return
    with path.open("rb" if os.name == "posix" else "r+b") as file:  # Windows flushes only what it may write
        os.fsync(file.fileno())


def _flush_names(folder: Path) -> None:
    """A new name survives a power failure only once its folder is on the disk, too."""
    if os.name != "posix":
        return
    with suppress(OSError):  # some network drives cannot, and some folders may not be read; the file itself is safe
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

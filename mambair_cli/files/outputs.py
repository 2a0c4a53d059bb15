"""Results under names that users chose: refused before the work if they cannot be written, never over another file."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import OutputError
from . import atomic

NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""What FAT and some network drives answer to a hard link."""

NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


def check_new(path: Path) -> None:
    """Refuse a name that is taken.

    Raises:
        OutputError: something is there, or the name itself is impossible.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise _unwritable(path, error) from None
    raise _taken(path)


@contextmanager
def reserved(path: Path, suffix: str = "") -> Iterator[Path]:
    """An empty temporary file beside ``path``, whose folders are made; what :func:`publish` left of it goes at the end.

    Args:
        path: the file that it is to become.
        suffix: what its own name ends with.

    Raises:
        OutputError: the folder cannot be made or written to.
    """
    with folder_of(path):
        with writing(path):
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            temporary = atomic.temporary_file(path, suffix)
        try:
            yield temporary
        finally:
            with suppress(OSError):  # must not hide what happened before
                temporary.unlink(missing_ok=True)


@contextmanager
def folder_of(path: Path) -> Iterator[None]:
    """Make the folders of ``path``; those that are empty in the end go again.

    Raises:
        OutputError: they cannot be made.
    """
    made = [folder for folder in path.parents if not os.path.lexists(folder)]
    try:
        with writing(path):
            _make(path.parent)
        yield
    finally:
        with suppress(OSError):  # must not hide what happened before
            for folder in made:
                folder.rmdir()  # fails, as it should, once there is something in it


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, f"{folder} is not a folder") from None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says into a message about ``path``.

    Raises:
        OutputError: for any OSError.
    """
    try:
        yield
    except OSError as error:
        raise _unwritable(path, error) from None


def publish(temporary: Path, path: Path, data: bytes, overwrite: bool) -> None:
    """Write ``data`` to the temporary file and give it its name: never half a file, not even after a crash.

    Raises:
        OutputError: it cannot be written, or a file of that name came up in the meantime and is to be kept.
    """
    fill(temporary, path, data)
    place(temporary, path, overwrite)


def fill(temporary: Path, path: Path, data: bytes) -> None:
    """Write ``data`` to the temporary file, down to the disk.

    Raises:
        OutputError: it cannot be written.
    """
    with writing(path), temporary.open("wb") as file:
        file.write(data)
        atomic.flush(file)


def place(temporary: Path, path: Path, overwrite: bool) -> None:
    """Give a complete temporary file its name.

    Raises:
        OutputError: it cannot be done, or a file of that name came up in the meantime and is to be kept.
    """
    with writing(path):
        if overwrite:
            temporary.replace(path)
        else:
            _link(temporary, path)


def _link(temporary: Path, path: Path) -> None:
    """Rename, but never over another file."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise _taken(path) from None
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        check_new(path)  # the best there is without links
        temporary.replace(path)


def _unwritable(path: Path, error: OSError) -> OutputError:
    hint = "Choose another place with -o."
    if error.errno in NO_ROOM:
        hint = "Make room, or choose another place with -o."
    return OutputError(f"{path} cannot be written: {error.strerror}.", hint)


def _taken(path: Path) -> OutputError:
    return OutputError(f"{path} exists already.", "Add --overwrite, or choose another output with -o.")

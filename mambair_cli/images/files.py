"""Write files that are either complete or not there, and find out before the work that they can be written."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from ..errors import OutputError

NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""What FAT and some network drives answer to a hard link."""

NUMBERS = count()


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
def reserved(path: Path) -> Iterator[Path]:
    """An empty temporary file beside ``path``, whose folders are made; what :func:`publish` left of it goes at the end.

    Raises:
        OutputError: the folder cannot be made or written to.
    """
    made = [folder for folder in path.parents if not os.path.lexists(folder)]
    temporary = None
    try:
        try:
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = _temporary(path.parent)
        except OSError as error:
            raise _unwritable(path, error) from None
        yield temporary
    finally:
        with suppress(OSError):  # must not hide what happened before
            if temporary:
                temporary.unlink(missing_ok=True)
            for folder in made:
                folder.rmdir()  # fails, as it should, once there is something in it


def _temporary(folder: Path) -> Path:
    """A short name, because the one of the result may be as long as names can be."""
    while True:
        path = folder / f".mambair-{os.getpid()}-{next(NUMBERS)}.part"
        try:
            path.touch(exist_ok=False)
        except FileExistsError:  # left by a process of the same number that was killed
            continue
        return path


def publish(temporary: Path, path: Path, data: bytes, overwrite: bool) -> None:
    """Write ``data`` to the temporary file and give it its name: never half a file, not even after a crash.

    Raises:
        OutputError: it cannot be written, or a file of that name came up in the meantime and is to be kept.
    """
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            temporary.replace(path)
        else:
            _link(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from None


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
    return OutputError(f"{path} cannot be written: {error.strerror}.", "Choose another place with -o.")


def _taken(path: Path) -> OutputError:
    return OutputError(f"{path} exists already.", "Add --overwrite, or choose another output with -o.")

"""Copies on this machine of what is behind URLs, for as long as a picture is worked on."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from ..files import locks, outputs
from ..locations import objects
from ..locations.url import Url


@lru_cache
def scratch() -> Path:
    """The folder of copies, ``$TMPDIR``; what killed processes left in it goes at the first call."""
    folder = Path(tempfile.gettempdir())
    with suppress(OSError):
        locks.sweep(folder)
    return folder


@contextmanager
def copied(url: Url) -> Iterator[Path]:
    """A copy with the suffix of the file, which goes in the end.

    Raises:
        InputError: it cannot be read.
        OutputError: there is no room for it.
    """
    with outputs.reserved(scratch() / url.name, suffix=url.suffix) as copy:
        with outputs.writing(copy):
            objects.get(url, copy)
        yield copy

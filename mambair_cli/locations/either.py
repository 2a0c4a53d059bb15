"""The same question to paths and to URLs; what needs fsspec is asked only where a URL is there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..files import checksum
from .url import Location, Url


def is_folder(place: Location) -> bool:
    """Whether it is one; ``os.path`` asks about any name, ``pathlib`` raises for those that are too long."""
    if isinstance(place, Url):
        from . import objects

        return objects.is_folder(place)
    return os.path.isdir(place)  # noqa: PTH112


def exists(place: Location) -> bool:
    """Whether anything is there."""
    if isinstance(place, Url):
        from . import objects

        return objects.exists(place)
    return os.path.lexists(place)


def real(place: Location) -> Location:
    """The file behind all links and other names; ``Path.resolve`` raises for links that go round in circles."""
    if isinstance(place, Url):
        from . import objects

        return objects.canonical(place)
    return Path(os.path.realpath(place))


def state(place: Location) -> tuple[int, int]:
    """Size, and nanoseconds of the last change or, behind a URL, a number of the version.

    Raises:
        OSError: there is no such file.
        InputError: there is none behind the URL.
    """
    if isinstance(place, Url):
        from . import objects

        return objects.state(place)
    found = place.stat()
    return found.st_size, found.st_mtime_ns


def digest(place: Location) -> str:
    """SHA-256 of the content.

    Raises:
        OSError: it cannot be read.
        InputError: it cannot be read from the URL.
    """
    if isinstance(place, Url):
        from . import objects

        return objects.digest(place)
    return checksum.of_file(place)


def absolute(place: Location) -> str:
    """A name that is the same from every folder; follows no links, asks nothing."""
    return str(place) if isinstance(place, Url) else os.path.abspath(place)  # noqa: PTH100


@contextmanager
def opened(place: Location) -> Iterator[BinaryIO]:
    """A file for reading, of which no more is fetched than is asked for.

    Raises:
        OSError: it cannot be read.
        InputError: it cannot be read from the URL.
    """
    if isinstance(place, Url):
        from . import objects

        with objects.opened(place) as file:
            yield file
        return
    with place.open("rb") as file:
        yield file

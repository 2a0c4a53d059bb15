"""What the inputs of a command line stand for: files, folders and patterns, here or behind URLs."""

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path, PurePath, PurePosixPath

from ..errors import InputError
from ..images import formats
from ..locations.either import exists, is_folder
from ..locations.url import Location, Url, located


@dataclass(frozen=True)
class Origin:
    """An input; its place in the output tree is the folder ``below``. ``searched``: the folder it was found in."""

    path: Location
    below: str = "."
    searched: Location | None = None


def expand(text: str, recursive: bool, unread: Counter[str]) -> Iterator[Origin]:
    """The pictures that an input stands for; what else a folder holds is counted by suffix.

    Raises:
        InputError: a folder or pattern holds no image.
    """
    place = located(text)
    if is_folder(place):
        images: list[tuple[str, Location]] = []
        for file, name in _files(place, recursive):
            if formats.is_image(file):
                images.append((name, file))
            else:
                unread[file.suffix.lower()] += 1
        if not images:
            raise InputError(f"The folder {place} holds no image.", f"Put images into it: {formats.listing()}.")
        found = sorted(images, key=lambda image: PurePosixPath(image[0]))
        yield from (Origin(file, str(PurePosixPath(name).parent), place) for name, file in found)
    elif has_magic(text) and not exists(place):
        searched, matches = _matched(place)
        if not matches:
            raise InputError(f"Nothing matches {text}.", "Check the pattern.")
        yield from (Origin(match, searched=searched) for match in matches)
    else:
        yield Origin(place)


def _files(folder: Location, recursive: bool) -> Iterator[tuple[Location, str]]:
    """Files with their names below the folder; hidden ones are left out."""
    if isinstance(folder, Url):
        from ..locations import objects

        for url in objects.files(folder, recursive):
            name = url.path.removeprefix(folder.path).lstrip("/")
            if not _is_hidden(PurePosixPath(name)):
                yield url, name
        return
    # os.path asks about any name; pathlib raises for names that are too long and for folders that are closed to us.
    every = folder.rglob("*") if recursive else folder.glob("*")  # enter no linked folders, which may form loops
    for file in every:
        below = file.relative_to(folder)
        if not _is_hidden(below) and os.path.isfile(file):  # noqa: PTH113
            yield file, below.as_posix()


def _matched(pattern: Location) -> tuple[Location, Sequence[Location]]:
    """The folder in which a pattern begins, and what it finds."""
    if isinstance(pattern, Url):
        from ..locations import objects

        parts = pattern.path.split("/")
        plain = list(_plain(parts))
        folder = Url(pattern.scheme, "/".join(plain))
        wanted = "/".join(parts[len(plain) :])
        found = objects.matches(folder, wanted)
        if any(part.startswith(".") for part in wanted.split("/")):
            return folder, found
        start = len(folder.path)
        return folder, [url for url in found if not _is_hidden(PurePosixPath(url.path[start:].lstrip("/")))]
    searched = Path(*_plain(pattern.parts))
    return searched, sorted(match for match in _matches(searched, pattern) if os.path.isfile(match))  # noqa: PTH113


def _matches(folder: Path, pattern: Path) -> Iterator[Path]:
    """What a pattern finds, as a shell does: names with a dot in front only where the pattern has one.

    ``glob.glob`` enters linked folders, and runs without end in a few that form loops.
    """
    parts = pattern.parts[len(folder.parts) :]
    parts = tuple(part if part == "**" else part.replace("**", "*") for part in parts)
    dotted = any(part.startswith(".") for part in parts)
    try:
        for match in folder.glob(str(Path(*parts, "*" if parts[-1] == "**" else ""))):
            if dotted or not _is_hidden(Path(*match.parts[len(folder.parts) :])):
                yield match
    except OSError:
        return  # the pattern's folder has a name that is too long, or goes round in circles: nothing is in there


def _is_hidden(path: PurePath) -> bool:
    """Thumbnails and what a Mac writes beside pictures on other disks (``._a.jpg``), for example."""
    return any(part.startswith(".") for part in path.parts)


def _plain(parts: Iterable[str]) -> Iterator[str]:
    """The parts before the first with a wildcard."""
    return itertools.takewhile(lambda part: not has_magic(part), parts)

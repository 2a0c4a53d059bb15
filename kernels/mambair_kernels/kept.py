"""What takes long to find out and stays true, kept in files for later processes: compiled programs, checks of a card.

They lie in ``kernels`` of mambair's cache folder, ``$MAMBAIR_CACHE`` or else that of the platform. A file that is
damaged, or cannot be read or written, is as one that is not there. Only the :data:`MOST` used last stay.
"""

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

MOST: Final = 64
"""Files; a compiled scan has 0.1 MB, and there is one for each kind of network and of number."""
DIGEST: Final = hashlib.sha256().digest_size


def folder() -> Path:
    """Where the files lie; it need not be there."""
    named = os.environ.get("MAMBAIR_CACHE")
    if named:
        return Path(named) / "kernels"
    from platformdirs import user_cache_path

    return user_cache_path("mambair", appauthor=False) / "kernels"


def name(kind: str, *parts: str) -> str:
    """A name for what follows from ``parts`` alone."""
    return f"{hashlib.sha256(repr(parts).encode()).hexdigest()}.{kind}"


def read(name: str) -> bytes | None:
    """What was written under a name, if it is there and whole."""
    try:
        path = folder() / name
        content = path.read_bytes()
        digest, content = content[:DIGEST], content[DIGEST:]
        if digest != _digest(name, content):
            return None
        with suppress(OSError):  # the folder of another user
            os.utime(path)
        return content
    except OSError:
        return None


def write(name: str, content: bytes) -> None:
    """Keep something, if there is a place; processes that write the same at the same time do not disturb each other."""
    with suppress(OSError):
        place = folder()
        place.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=place)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_digest(name, content) + content)
            os.replace(temporary, place / name)  # noqa: PTH105
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
        _drop(place)


def _digest(name: str, content: bytes) -> bytes:
    return hashlib.sha256(name.encode() + content).digest()


def _drop(place: Path) -> None:
    """Remove what was used longest ago, what killed processes left included."""
    used = []
    for path in place.iterdir():
        with suppress(FileNotFoundError):  # another process drops, too
            if path.is_file():
                used.append((path.stat().st_mtime, path))
    for _, path in sorted(used)[:-MOST]:
        path.unlink(missing_ok=True)

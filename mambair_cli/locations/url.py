"""URLs of files, with the parts that paths have."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import UsageError

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")
"""Two letters at least, or it is a drive of Windows. ``Path`` leaves one slash of two."""


@dataclass(frozen=True)
class Url:
    """Such as ``s3://bucket/folder/a.png``; ``path`` is what follows ``//``, without a slash at its end."""

    scheme: str
    path: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.path}"

    def __truediv__(self, below: str) -> "Url":
        """What is called ``below`` in this folder; parts are parted by slashes, ``.`` is the folder itself."""
        parts = [part for part in below.split("/") if part not in ("", ".")]
        return Url(self.scheme, "/".join([self.path, *parts] if self.path else parts))

    @property
    def name(self) -> str:
        """The last part."""
        return self.path.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """Of the name, with its dot."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> "Url":
        """The folder; that of a first part is the store itself."""
        return Url(self.scheme, self.path.rpartition("/")[0])

    @property
    def parents(self) -> tuple["Url", ...]:
        """All folders, the nearest first."""
        return (self.parent, *self.parent.parents) if self.path else ()

    def with_name(self, name: str) -> "Url":
        """Another file of the folder."""
        return self.parent / name


Location = Path | Url


def is_url(text: str) -> bool:
    """Whether this is no path of this machine."""
    return bool(SCHEME.match(text)) and "://" in text and not text.lower().startswith("file://")


def located(text: str) -> Location:
    """The path or URL that a user means; ``file://`` is another way to write a path.

    Raises:
        UsageError: it goes through several file systems.
    """
    if not is_url(text):
        return Path(text[len("file://") :] if text.lower().startswith("file://") else text)
    if "::" in text:
        raise UsageError(f"{text} is a chain of URLs, which are not followed.", "Give the URL of one store.")
    scheme, _, path = text.partition("://")
    return Url(scheme.lower(), path.rstrip("/"))


def refuse(path: Path | str | None, what: str, hint: str) -> None:
    """Refuse a URL where only this machine's folders will do; ``what`` says what is not done there.

    Raises:
        UsageError: ``path`` is a URL.
    """
    text = str(path)
    if (found := SCHEME.match(text)) and not Path(found[0]).exists():
        url = text if "://" in text else text.replace(":/", "://", 1)
        raise UsageError(f"{what}, not {url}.", hint)

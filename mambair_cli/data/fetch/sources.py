"""Places from which something can be had."""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ...errors import UsageError

DRIVE_ID = re.compile(r"[-\w]{25,}")
FOLDER = re.compile(r"/drive/(?:u/\d+/)?folders/([-\w]{25,})")
UNSAFE = re.compile(r'[\x00-\x1f<>:"|?*\\/]')


@dataclass(frozen=True)
class Origin:
    """One place.

    Attributes:
        kind: ``drive`` and ``folder`` (Google Drive, by id), ``url``, ``file`` (on this machine) or ``page`` (for
            people).
        address: the id, address or path.
    """

    kind: str
    address: str

    @property
    def url(self) -> str:
        """What a browser opens."""
        if self.kind == "drive":
            return f"https://drive.google.com/uc?id={self.address}"
        if self.kind == "folder":
            return f"https://drive.google.com/drive/folders/{self.address}"
        return self.address

    @property
    def automatic(self) -> bool:
        """Whether a program can fetch from it."""
        return self.kind != "page"


def parse(text: str) -> Origin:
    """A source as the catalogues write it, or as people give it: an address, or the id of a file on Google Drive.

    Raises:
        UsageError: it is none of these.
    """
    kind, _, rest = text.partition(":")
    if kind in ("drive", "folder") or (kind == "page" and _is_address(rest)):
        return Origin(kind, rest)
    if _is_address(text):
        return _address(text)
    if DRIVE_ID.fullmatch(text):
        return Origin("drive", text)
    raise UsageError(f"{text} is no address and no id of a file on Google Drive.", "Give https://..., or an id.")


def _is_address(text: str) -> bool:
    with suppress(ValueError):  # brackets around what is no IPv6 address
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    return False


def _address(url: str) -> Origin:
    from gdown.parse_url import parse_url

    if urlsplit(url).hostname in ("drive.google.com", "docs.google.com"):
        if folder := FOLDER.search(url):
            return Origin("folder", folder[1])
        if identity := parse_url(url)[0]:
            return Origin("drive", identity)
    return Origin("url", url)


def file_name(source: Origin) -> str:
    """The name that an address ends in, without what a file name must not hold; empty if there is none."""
    path = source.address if source.kind == "file" else unquote(urlsplit(source.url).path)
    name = UNSAFE.sub("_", Path(path).name).strip(". ")
    return "" if source.kind in ("drive", "folder") else name

"""Is what came what was asked for, and is there room for it?"""

import re
import shutil
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from ...errors import FetchError, OutputError
from ...files import sniff

QUOTA = re.compile(r"quota|too many users|limit exceeded|rate limit|try again later", re.IGNORECASE)
SIGN_IN = re.compile(r"<title>[^<]*(sign|log)[ -]?in|accounts\.google|type=.?password", re.IGNORECASE)
LATER = "Try again in a day, or get the file with a browser and run the same command with --from FILE."
BROWSER = "Open the address in a browser; a file that you get there can be given with --from FILE."
MARGIN = 64 << 20
"""Bytes that stay free."""


@dataclass(frozen=True)
class Expected:
    """What is known of a file beforehand; ``origin`` says from where, for messages."""

    bytes: int | None = None
    sha256: str | None = None
    origin: str = "the catalogue"

    def check_size(self, size: int, source: str) -> None:
        """Refuse another size.

        Raises:
            FetchError: it is not the one that is known.
        """
        if self.bytes is not None and size != self.bytes:
            raise FetchError(
                f"{source} offers a file of {size} bytes, but by {self.origin} it has {self.bytes}.", self._changed()
            )

    def check_digest(self, digest: str, source: str) -> None:
        """Refuse other content.

        Raises:
            FetchError: the checksum is not the one that is known.
        """
        if self.sha256 is not None and digest != self.sha256:
            raise FetchError(
                f"The file from {source} is not the one that {self.origin} knows: its sha256 is {digest}, not"
                f" {self.sha256}.",
                self._changed(),
            )

    def _changed(self) -> str:
        if self.origin == "the catalogue":
            return "Do not use that file; report it, so that the catalogue can be mended."
        return "If the file was changed on purpose, accept the new one with --renew."


def page_trouble(text: str) -> tuple[str, str] | None:
    """What a page that came in place of a file says, and what to do; None if it says nothing known."""
    if QUOTA.search(text):
        return "answers with a page that says its limit of downloads is reached", LATER
    if SIGN_IN.search(text):
        return "answers with a page that asks to sign in", BROWSER
    return None


def check_content(path: Path, source: str) -> None:
    """Refuse a page, a pointer or nothing in place of a file.

    Raises:
        FetchError: with what came instead.
    """
    with path.open("rb") as file:
        head = file.read(65536)
    if not head:
        raise FetchError(f"{source} sends an empty file.", BROWSER)
    if sniff.is_pointer(head):
        raise FetchError(f"{source} sends a pointer of Git LFS in place of the file.", BROWSER)
    if sniff.is_page(head):
        said, hint = page_trouble(head.decode("utf-8", "replace")) or ("sends a web page in place of the file", BROWSER)
        raise FetchError(f"{source} {said}.", hint)


def check_zip(path: Path, source: str) -> None:
    """Refuse a ZIP container (which weights of PyTorch are) whose members do not fit their checksums.

    Raises:
        FetchError: it is damaged.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            if file.read(4) == b"PK\3\4":
                raise FetchError(f"The file from {source} is cut: its end is missing.", "Fetch it again.")
        return
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        bad = str(error)
    if bad:
        raise FetchError(f"The file from {source} is damaged ({bad}).", "Fetch it again.")


def free(folder: Path) -> int:
    """Free bytes where ``folder`` is or would be made."""
    place = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
    return shutil.disk_usage(place).free


def check_room(folder: Path, needed: int, what: str) -> None:
    """Refuse what does not fit on the disk.

    Raises:
        OutputError: there is too little room.
    """
    there = free(folder)
    if needed + MARGIN > there:
        raise OutputError(
            f"{what} needs {megabytes(needed)}, but {folder} has {megabytes(there)} free.",
            "Make room, or choose another disk with --root.",
        )


def megabytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"

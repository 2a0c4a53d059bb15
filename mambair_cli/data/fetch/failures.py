"""What goes wrong in a transfer, in our words, and whether it may pass."""

import errno
from pathlib import Path

import gdown
import requests

from ...errors import FetchError, MambairError, OutputError
from . import checks
from .partial import Changed
from .sources import Source

PASSING = {408, 425, 429, 500, 502, 503, 504}
"""HTTP answers that may be better next time."""


class Passing(Exception):
    """A failure that may pass."""

    def __init__(self, error: FetchError) -> None:
        super().__init__(error.message)
        self.error = error


def final(error: Exception) -> Exception:
    """The failure itself, where nobody tries again."""
    return error.error if isinstance(error, Passing) else error


def explained(error: Exception, source: Source, timeout: float) -> Exception:
    """What went wrong, as one of ours: :class:`Passing` if it may pass, :class:`Changed` if the part is of no use."""
    if isinstance(error, gdown.FileURLRetrievalError):
        return FetchError(*_refusal(" ".join(str(error).split()), source))
    if isinstance(error, gdown.DownloadError):
        if "byte range" in str(error):
            return Changed()
        return Passing(FetchError(f"The transfer from {source.url} was cut.", "Run the command again: it goes on."))
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _http(error.response.status_code, source)
    if isinstance(error, (requests.exceptions.SSLError, requests.exceptions.ProxyError)):
        kind = "certificate" if isinstance(error, requests.exceptions.SSLError) else "proxy"
        return FetchError(f"{source.url} cannot be reached: the {kind} is refused.", "Check the network settings.")
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        silence = f"{source.url} gave no sign of life for {timeout:g} seconds."
        return Passing(FetchError(silence, "Run the command again: it goes on; --timeout sets how long to wait."))
    if isinstance(error, (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        return Passing(FetchError(f"{source.url} cannot be reached.", "Check the network, and run the command again."))
    return FetchError(f"{source.url} cannot be fetched: {error}.", "Check the address.")


def _refusal(text: str, source: Source) -> tuple[str, str]:
    """What Google Drive says when it gives no file; a private file and one that is gone look alike."""
    if checks.QUOTA.search(text):
        return f"{source.url} answers with a page that says its limit of downloads is reached.", checks.LATER
    return (
        f"{source.url} gives no file: it asks to sign in, or the file is private or gone.",
        checks.BROWSER,
    )


def _http(status: int, source: Source) -> Exception:
    if status in PASSING:
        return Passing(FetchError(f"{source.url} is not able to answer now (HTTP {status}).", "Try again later."))
    if status in (401, 403):
        return FetchError(f"{source.url} refuses access (HTTP {status}).", checks.BROWSER)
    gone = "does not exist" if status in (404, 410) else "cannot be fetched"
    return FetchError(f"{source.url} {gone} (HTTP {status}).", "Check the address, or look for another source.")


def unwritable(error: OSError, folder: Path) -> MambairError:
    """What to say when something cannot be kept."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"The disk of {folder} is full.", "Make room and run the command again: it goes on.")
    return OutputError(f"{folder} cannot be written: {error.strerror}.", "Choose another place with --root.")

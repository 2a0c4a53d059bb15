"""What goes wrong in a transfer, in our words, and whether it may pass."""

import errno
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import gdown
import requests

from ...errors import FetchError, MambairError, OutputError
from . import checks
from .partial import Changed
from .sources import Origin

PASSING = {408, 425, 429, 500, 502, 503, 504}
"""HTTP answers that may be better next time."""


LONGEST_WAIT = 600.0
"""Seconds that are waited because a server asks for it."""


class Passing(Exception):
    """A failure that may pass, after ``wait`` seconds if the server says so."""

    def __init__(self, error: FetchError, wait: float | None = None) -> None:
        super().__init__(error.message)
        self.error, self.wait = error, wait


class Unreachable(FetchError):
    """Nobody answers: no network, or no such host."""


def final(error: Exception) -> Exception:
    """The failure itself, where nobody tries again."""
    return error.error if isinstance(error, Passing) else error


def explained(error: Exception, source: Origin, timeout: float) -> Exception:
    """What went wrong, as one of ours: :class:`Passing` if it may pass, :class:`Changed` if the part is of no use."""
    if isinstance(error, gdown.FileURLRetrievalError):
        return _passing_of_drive(source, timeout) or FetchError(*_refusal(" ".join(str(error).split()), source))
    if isinstance(error, gdown.DownloadError):
        if "byte range" in str(error):
            return Changed("does not let a cut transfer go on")
        return Passing(FetchError(f"The transfer from {source.url} was cut.", "Run the command again: it goes on."))
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _http(error.response, source)
    if isinstance(error, (requests.exceptions.SSLError, requests.exceptions.ProxyError)):
        kind = "certificate" if isinstance(error, requests.exceptions.SSLError) else "proxy"
        return FetchError(f"{source.url} cannot be reached: the {kind} is refused.", "Check the network settings.")
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        silence = f"{source.url} gave no sign of life for {timeout:g} seconds."
        failure = Unreachable if isinstance(error, requests.ConnectTimeout) else FetchError
        return Passing(failure(silence, "Run the command again: it goes on; --timeout sets how long to wait."))
    if isinstance(error, (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        hint = "Check the network, and run the command again."
        return Passing(Unreachable(f"{source.url} cannot be reached.", hint))
    if not isinstance(error, (requests.RequestException, gdown.DownloadError)):
        return FetchError(f"{source.url} answers in a way that is not understood ({error}).", checks.BROWSER)
    return FetchError(f"{source.url} cannot be fetched: {error}.", "Check the address.")


def _refusal(text: str, source: Origin) -> tuple[str, str]:
    """What Google Drive says when it gives no file; a private file and one that is gone look alike."""
    if checks.QUOTA.search(text):
        return f"{source.url} answers with a page that says its limit of downloads is reached.", checks.LATER
    return (
        f"{source.url} gives no file: it asks to sign in, or the file is private or gone.",
        checks.BROWSER,
    )


def _passing_of_drive(source: Origin, timeout: float) -> Exception | None:
    """What passes of itself; gdown, which looks for a link in any answer, does not tell it from a refusal."""
    try:
        with requests.session() as session, session.get(source.url, stream=True, timeout=timeout) as answer:
            if "Content-Disposition" in answer.headers:  # a file: what was wrong has passed already
                return Passing(FetchError(f"{source.url} gave a page in place of its file.", "Try again later."))
            return _http(answer, source) if answer.status_code in PASSING else None
    except requests.RequestException:
        return None


def _http(answer: requests.Response, source: Origin) -> Exception:
    status = answer.status_code
    if status in PASSING:
        return _later(status, waiting(answer.headers.get("Retry-After", "")), source)
    if status in (401, 403):
        return FetchError(f"{source.url} refuses access (HTTP {status}).", checks.BROWSER)
    gone = "does not exist" if status in (404, 410) else "cannot be fetched"
    return FetchError(f"{source.url} {gone} (HTTP {status}).", "Check the address, or look for another source.")


def _later(status: int, wait: float | None, source: Origin) -> Exception:
    unable = f"{source.url} is not able to answer now (HTTP {status})"
    if wait is None or wait <= LONGEST_WAIT:
        return Passing(FetchError(f"{unable}.", "Try again later."), wait)
    return FetchError(f"{unable} and asks to wait {wait / 60:.0f} minutes.", "Run the command again then: it goes on.")


def waiting(text: str) -> float | None:
    """Seconds that ``Retry-After`` asks to wait, given as such or as a date (RFC 9110, section 10.2.3)."""
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # no date, or one without its zone
        return None


def unwritable(error: OSError, folder: Path) -> MambairError:
    """What to say when something cannot be kept."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"The disk of {folder} is full.", "Make room and run the command again: it goes on.")
    return OutputError(f"{folder} cannot be written: {error.strerror}.", "Choose another place with --root.")

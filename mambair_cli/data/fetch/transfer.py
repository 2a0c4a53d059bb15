"""One file from one source: gdown moves the bytes; here is when to go on, to begin again and to give up."""

import hashlib
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import gdown
import requests

from ...console import Advance
from ...errors import FetchError
from ...files import checksum
from . import checks
from .failures import Passing, explained, final, unwritable
from .partial import Changed, Partial, forget
from .sources import Origin

LONGEST_PAUSE = 30.0
NO_HEAD = (405, 501)
"""HTTP answers of servers that do not know HEAD."""

UNREADABLE = (KeyError, AssertionError, ValueError, TypeError, AttributeError)
"""What gdown raises over headers and pages that are not as it knows them."""


@dataclass(frozen=True)
class Patience:
    """How long to wait (``timeout`` seconds for a sign of life) and how often to try again without any progress."""

    timeout: float = 30.0
    retries: int = 4


def transfer(source: Origin, target: Path, expected: checks.Expected, patience: Patience, progress: Advance) -> str:
    """Fetch ``source`` into the file ``target``, going on with what an earlier try left, and return its sha256.

    Raises:
        FetchError: the source does not give it.
        OutputError: it cannot be kept.
    """
    if source.kind == "file":
        return _copy(source, target)
    partial = Partial(target, source.url)

    def compare() -> None:
        if source.kind == "url" and expected.sha256 is None:  # else the checksum tells what is of another version
            partial.compare(_version(source.url, patience.timeout))

    failures = beginnings = 0
    while True:
        before = partial.trim()
        try:
            compare()
            if target.is_file():  # an earlier run was stopped after the transfer
                return checksum.of_file(target)
            digest = _once(source, partial, expected, patience, progress)
            compare()
            return digest
        except Changed as changed:
            partial.drop()
            beginnings += 1
            if beginnings > 1 + patience.retries:
                raise FetchError(f"{source.url} {changed}.", "Try again later.") from None
        except Passing as passing:
            failures = 1 if partial.size() > before else failures + 1
            if failures > patience.retries:
                raise passing.error from None
            pause(failures, passing.wait)


def pause(failures: int, asked: float | None = None) -> None:
    """Wait as long as the server asked for, or longer after every failure, and not in step with others."""
    time.sleep(asked or min(2.0**failures, LONGEST_PAUSE) * random.uniform(0.25, 0.5))


def _copy(source: Origin, target: Path) -> str:
    forget(target)
    try:
        shutil.copyfile(source.address, target)
    except OSError as error:
        raise FetchError(f"{source.address} cannot be read: {error.strerror}.", "Check --from.") from None
    return checksum.of_file(target)


def _version(url: str, timeout: float) -> str:
    """What the server calls the present content; nothing if it does not tell or does not answer."""
    try:
        with requests.session() as session:
            answer = session.head(url, allow_redirects=True, timeout=timeout)
            if answer.status_code in NO_HEAD:
                answer = session.get(url, stream=True, timeout=timeout)
                answer.close()
    except requests.RequestException:  # the transfer itself will find out why
        return ""
    return (answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "") if answer.ok else ""


def _once(source: Origin, partial: Partial, expected: checks.Expected, patience: Patience, progress: Advance) -> str:
    begun = partial.size() > 0
    announced = _announced(source, partial, expected, begun)
    hasher = hashlib.sha256()

    def report(done: int, total: int | None) -> None:
        announced(done, total)
        progress(done, total)

    try:
        gdown.download(
            source.url,
            str(partial.target),
            quiet=True,
            use_cookies=False,
            resume=True,
            timeout=patience.timeout,
            hasher=hasher,
            progress=report,
        )
    except (requests.RequestException, gdown.DownloadError, *UNREADABLE) as error:
        raise explained(error, source, patience.timeout) from None
    except OSError as error:
        raise unwritable(error, partial.target.parent) from None
    return hasher.hexdigest()


def _announced(
    source: Origin, partial: Partial, expected: checks.Expected, begun: bool
) -> Callable[[int, int | None], None]:
    """Judges the size that the source announces, once."""
    judged = False

    def judge(done: int, total: int | None) -> None:
        nonlocal judged
        if judged:
            return
        judged = True
        if total is not None:
            expected.check_size(total, source.url)
            checks.check_room(partial.target.parent, total - done, f"The file from {source.url}")
        partial.check(total, begun)

    return judge


def drive_name(source: Origin, patience: Patience) -> str:
    """The name that a file has on Google Drive.

    Raises:
        FetchError: it is not to be had.
    """
    try:
        found = gdown.download(source.url, quiet=True, use_cookies=False, timeout=patience.timeout, skip_download=True)
    except (requests.RequestException, gdown.DownloadError, *UNREADABLE) as error:
        raise final(explained(error, source, patience.timeout)) from None
    return str(cast(Any, found).path)


def drive_folder(source: Origin, folder: Path, patience: Patience) -> list[tuple[Origin, Path]]:
    """The files in a folder on Google Drive, and where below ``folder`` each belongs.

    Raises:
        FetchError: its list is not to be had, or empty.
    """
    try:
        found = gdown.download_folder(
            id=source.address,
            output=str(folder),
            quiet=True,
            use_cookies=False,
            timeout=patience.timeout,
            skip_download=True,
        )
    except (requests.RequestException, gdown.DownloadError, *UNREADABLE) as error:
        raise final(explained(error, source, patience.timeout)) from None
    files = [(Origin("drive", file.id), folder / file.path) for file in found if not isinstance(file, str)]
    if not files:
        raise FetchError(f"{source.url} shows no files.", checks.BROWSER)
    if len({path for _, path in files}) < len(files):
        raise FetchError(f"{source.url} holds two files of the same name.", checks.BROWSER)
    return files

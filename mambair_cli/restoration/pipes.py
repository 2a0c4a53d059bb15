"""One picture through standard input and standard output."""

import os
import sys
from collections.abc import Collection

from ..errors import InputError, OutputError, UsageError
from .result import Job


def check(jobs: Collection[Job]) -> None:
    """Refuse a terminal, which neither gives nor takes pictures.

    Raises:
        UsageError: standard input or output is one.
    """
    if any(job.piped_in for job in jobs) and (sys.stdin is None or sys.stdin.isatty()):
        what = "closed" if sys.stdin is None else "a terminal, not a picture"
        raise UsageError(f"Standard input is {what}.", "Redirect it: mambair upscale - < in.png.")
    if any(job.piped_out for job in jobs) and (sys.stdout is None or sys.stdout.isatty()):
        what = "closed" if sys.stdout is None else "a terminal, which shows no pictures"
        raise UsageError(f"Standard output is {what}.", "Redirect it, or give -o FILE.")


def read() -> bytes:
    """All of standard input.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise InputError(f"Standard input cannot be read: {error.strerror}.", "Check what is sent into it.") from None


def write(data: bytes) -> None:
    """The bytes of a picture, and nothing else, to standard output.

    Raises:
        OutputError: it takes no more.
    """
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  (else Python complains once more when it ends)
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        raise OutputError(
            f"Standard output cannot be written to: {error.strerror}.", "Check what reads from it, or give -o FILE."
        ) from None

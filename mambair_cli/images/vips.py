"""The optional library for pictures that do not fit into memory."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import MambairError

LOGGER = logging.getLogger("pyvips")
LOGGER.addHandler(logging.NullHandler())

HINT = "Install it with pip install 'mambair[large]'."


def available() -> bool:
    """Whether it is installed and works."""
    try:
        load()
    except MambairError:
        return False
    return True


def load() -> Any:
    """The module ``pyvips``, set up to keep nothing of a picture that is done.

    Raises:
        MambairError: it is not installed, or its library does not load.
    """
    try:
        import pyvips
    except (ImportError, OSError) as error:
        reason = "is not installed" if isinstance(error, ModuleNotFoundError) else f"does not load ({error})"
        raise MambairError(f"pyvips, which handles pictures larger than memory, {reason}.", HINT) from None
    pyvips.cache_set_max(0)
    LOGGER.propagate = False  # a broken file is reported once, in our words
    LOGGER.setLevel(logging.WARNING)
    return pyvips


@contextmanager
def warned() -> Iterator[list[str]]:
    """What libvips warns of meanwhile, in whatever thread."""
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    LOGGER.addHandler(handler)
    try:
        yield found
    finally:
        LOGGER.removeHandler(handler)


def reason(error: Exception) -> str:
    """What an exception of pyvips says, without the names of its operations."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rpartition(": ")[2].rstrip(".") if lines else "no details"

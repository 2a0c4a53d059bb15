"""The optional library that opens clips."""

from typing import Any

from ..errors import MambairError

HINT = "Install it with pip install 'mambair[video]'."


def load() -> Any:
    """The module ``av``.

    Raises:
        MambairError: it is not installed, or its libraries do not load.
    """
    try:
        import av
        import av.logging
    except ImportError as error:
        reason = "is not installed" if isinstance(error, ModuleNotFoundError) else f"does not load ({error})"
        raise MambairError(f"PyAV, which opens clips, {reason}.", HINT) from None
    av.logging.set_level(None)  # libav's own words would go to stderr between ours
    return av


def reason(error: Exception) -> str:
    """What an exception of PyAV says."""
    return str(getattr(error, "strerror", None) or error).rstrip(".")

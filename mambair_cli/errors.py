"""Errors that end in a message for the user: what is wrong with which input, and what to do about it."""


class MambairError(Exception):
    """An expected failure.

    Args:
        message: one sentence saying what is wrong with which input.
        hint: one sentence saying what to do.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint

    def __reduce__(self) -> tuple[type["MambairError"], tuple[str, str]]:
        """Both sentences go to another process."""
        return type(self), (self.message, self.hint)


class UsageError(MambairError):
    """The command line itself is wrong."""

    exit_code = 2


class InputError(MambairError):
    """An input image cannot be used."""


class OutputError(MambairError):
    """A result cannot be written."""


class ModelError(MambairError):
    """A model cannot be found, read or used for the task."""


class FetchError(MambairError):
    """A source does not give what was asked of it."""


class DeviceError(MambairError):
    """The device asked for is not there."""


class OutOfMemoryError(MambairError):
    """Even the smallest tile does not fit."""


class NumericalError(MambairError):
    """The network produced values that are not numbers."""


def explained(error: Exception, work: str) -> MambairError:
    """Any exception as a message; ``work`` says what it stopped, such as "Restoring a.png"."""
    if isinstance(error, MambairError):
        return error
    if isinstance(error, MemoryError):
        return OutOfMemoryError(
            f"{work} takes more memory than there is.", "Close other programs or use smaller inputs."
        )
    text = (str(error).splitlines() or ["no details"])[0].rstrip(".")
    return MambairError(
        f"{work} ended in an unexpected {type(error).__name__}: {text}.",
        "Run again with --verbose and report what it prints.",
    )

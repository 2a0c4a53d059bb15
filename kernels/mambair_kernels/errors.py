"""Errors of this package."""


class BackendError(RuntimeError):
    """The backend asked for does not exist or cannot run here."""

"""Errors of this package."""


class BackendError(RuntimeError):
    """The backend asked for does not exist or cannot run here."""


class PathError(ValueError):
    """No scan path has this name."""

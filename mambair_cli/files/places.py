"""Where downloads go: data into one folder, models into another that all projects share."""

import os
from pathlib import Path


def data_root(given: Path | None = None) -> Path:
    """Folder for data: the one given, else ``$MAMBAIR_DATA``, else ``./datasets``."""
    return given or Path(os.environ.get("MAMBAIR_DATA") or "datasets")


def located(written: str, root: Path) -> Path:
    """A path of a recipe: below ``root``; one that is only there from the working folder, as in BasicSR's, is kept."""
    path = Path(written).expanduser()
    below = root / path
    return path if path.exists() and not below.exists() else below


def cache_root() -> Path:
    """Folder for what can be fetched again: ``$MAMBAIR_CACHE``, else the user's cache folder."""
    if named := os.environ.get("MAMBAIR_CACHE"):
        return Path(named)
    from platformdirs import user_cache_path

    return user_cache_path("mambair", appauthor=False)

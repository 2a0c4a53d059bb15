"""Where downloads go: data into one folder, models into another that all projects share."""

import os
from pathlib import Path


def data_root() -> Path:
    """Folder for data: ``$MAMBAIR_DATA``, else ``./datasets``."""
    return Path(os.environ.get("MAMBAIR_DATA") or "datasets")


def cache_root() -> Path:
    """Folder for what can be fetched again: ``$MAMBAIR_CACHE``, else the user's cache folder."""
    if named := os.environ.get("MAMBAIR_CACHE"):
        return Path(named)
    from platformdirs import user_cache_path

    return user_cache_path("mambair", appauthor=False)

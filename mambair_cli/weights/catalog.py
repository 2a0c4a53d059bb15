"""The catalogue of known model files (``catalog.toml``) and where they are kept."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..files.places import cache_root, data_root

BUNDLED = Path(__file__).parent / "bundled"
"""The models that come with the package, each with a card that says how it was made."""


@dataclass(frozen=True, kw_only=True)
class CatalogEntry:
    """One known model file; see the head of ``catalog.toml`` for the fields."""

    name: str
    task: str
    scale: int
    arch: str
    file: str
    licence: str
    url: str = ""
    verified: str = "never"
    bundled: bool = False
    bytes: int | None = None
    sha256: str | None = None
    psnr: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    mirrors: tuple[str, ...] = ()
    note: str = ""
    instead_of: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Where the file is, or where it goes when it is fetched."""
        if self.bundled:
            return BUNDLED / self.file
        places = [folder / self.file for folder in models_folders()]
        return next((place for place in places if place.is_file()), places[-1])

    @property
    def installed(self) -> bool:
        """Whether the file is there."""
        return self.path.is_file()

    @property
    def download(self) -> str:
        """A command that fetches the file."""
        return f"mambair fetch {self.name}"


def models_folders() -> tuple[Path, Path]:
    """Folders in which models are looked up by name: that of the data, then the cache, into which they are fetched."""
    return data_root() / "models", cache_root() / "models"


@cache
def entries() -> tuple[CatalogEntry, ...]:
    """All known models, the recommended ones of a task first."""
    return parsed(files(__package__).joinpath("catalog.toml").read_text(encoding="utf-8"))


def parsed(text: str) -> tuple[CatalogEntry, ...]:
    """The entries of a catalogue."""
    models = tomllib.loads(text)["model"]
    return tuple(CatalogEntry(**{key: _frozen(value) for key, value in model.items()}) for model in models)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def select(task: str, scale: int | None = None) -> list[CatalogEntry]:
    """Known models for a task, and for a scale if one is given."""
    return [entry for entry in entries() if entry.task == task and scale in (None, entry.scale)]


def by_name(name: str) -> CatalogEntry | None:
    """The entry called ``name``."""
    return next((entry for entry in entries() if entry.name == name), None)


def for_poor(name: str) -> CatalogEntry | None:
    """The installed model that takes the place of the one called ``name`` for pictures with noise or JPEG artefacts."""
    return next((entry for entry in entries() if name in entry.instead_of and entry.installed), None)


def by_sha256(digest: str) -> CatalogEntry | None:
    """The entry of a file with this checksum."""
    return next((entry for entry in entries() if entry.sha256 == digest), None)

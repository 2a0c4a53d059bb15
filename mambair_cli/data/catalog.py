"""The catalogue of known data sets (``catalog.toml`` of ``mambair_datasets``)."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One known data set; see the head of ``catalog.toml`` for the fields."""

    name: str
    task: str
    holds: str
    target: str
    layout: tuple[str, ...]
    sources: tuple[str, ...]
    verified: str
    licence: str
    citation: str
    aliases: tuple[str, ...] = ()
    recipe: str = ""
    bytes: int | None = None
    sha256: str | None = None
    note: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """All names by which it is found."""
        return (self.name, *self.aliases)


@cache
def datasets() -> tuple[Dataset, ...]:
    """All known data sets."""
    return parsed(files("mambair_datasets").joinpath("catalog.toml").read_text(encoding="utf-8"))


def parsed(text: str) -> tuple[Dataset, ...]:
    """The data sets of a catalogue."""
    return tuple(Dataset(**_frozen(entry)) for entry in tomllib.loads(text)["dataset"])


def _frozen(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}


def by_name(name: str) -> Dataset | None:
    """The data set called ``name``, whatever its case."""
    wanted = name.casefold()
    return next((entry for entry in datasets() if wanted in map(str.casefold, entry.names)), None)

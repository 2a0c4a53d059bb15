"""The command that fetches what a recipe lacks."""

from collections.abc import Iterable
from pathlib import Path

from ..files.places import data_root
from . import catalog


def command(folders: Iterable[Path]) -> str:
    """``mambair fetch`` with the data sets of the catalogue that missing folders belong to; empty if there are none."""
    found = [each for folder in folders if (each := _set_of(folder))]
    if not found:
        return ""
    names, root = dict.fromkeys(name for name, _ in found), found[0][1]
    elsewhere = "" if root.absolute() == data_root().absolute() else f" --root {root}"
    return f"mambair fetch {' '.join(names)}{elsewhere}"


def _set_of(folder: Path) -> tuple[str, Path] | None:
    """The data set that has such a folder, and the root below which that belongs."""
    parts = folder.parts
    for start in range(len(parts)):
        for dataset in catalog.datasets():
            target = Path(dataset.target).parts
            end = start + len(target)
            if parts[start:end] == target and _has(dataset.layout, parts[end:]):
                return dataset.name, Path(*parts[:start])
    return None


def _has(layout: tuple[str, ...], inside: tuple[str, ...]) -> bool:
    """Whether a folder within a data set leads into its layout, or lies in it."""
    known = [Path(entry).parts for entry in layout]
    return not layout or any(inside[: len(entry)] == entry or entry[: len(inside)] == inside for entry in known)

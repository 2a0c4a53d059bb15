"""Photos and their low-quality partners, matched by name."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ..errors import InputError
from .photos import is_photo


def pair(paths: Sequence[Path], folder: Path, template: str, scale: int) -> dict[Path, Path]:
    """The low-quality file of every photo: ``template`` with ``{}`` for the photo's name, any image suffix.

    Raises:
        InputError: the folder is missing, or photos have no partner or one of the wrong size; all of them are named.
    """
    if not folder.is_dir():
        raise InputError(f"The folder {folder} does not exist.", "Check the path, or prepare the data first.")
    there = {path.stem: path for path in sorted(folder.iterdir()) if is_photo(path)}
    found = {path: there.get(template.format(path.stem)) for path in paths}
    if missing := [template.format(path.stem) for path, low in found.items() if low is None]:
        raise InputError(
            f"{len(missing)} of {len(paths)} images have no partner in {folder}: {_some(missing)}.",
            "Check the folder and the pattern of the names.",
        )
    partners = {path: low for path, low in found.items() if low is not None}
    _check_sizes(folder, list(partners.items()), scale)
    return partners


def in_folders(good: Path, low: Path, template: str) -> list[tuple[Path, Path]]:
    """Images of one folder beside those of another, in the order of their names.

    The name of a low-quality image is ``template`` with ``{}`` for the good one's without suffix; its suffix may be
    another, but one with the same suffix comes first.

    Raises:
        InputError: an image of either has no partner; all of them are named.
    """
    there: dict[str, list[Path]] = {}
    for path in sorted(filter(is_photo, low.iterdir())):
        there.setdefault(path.stem, []).append(path)
    found, missing = [], []
    for path in sorted(filter(is_photo, good.iterdir())):
        name = template.format(path.stem)
        partners = there.pop(name, [])
        if partners:
            found.append((path, next((one for one in partners if one.suffix == path.suffix), partners[0])))
        else:
            missing.append(f"{path} has no partner {name}")
    missing += [f"{path} has no partner in {good}" for paths in there.values() for path in paths]
    if missing:
        raise InputError(f"Images have no partner: {_some(missing)}.", "Check the folders and filename_tmpl.")
    return found


def pair_haze(paths: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """The clear photo of every hazy image: RESIDE makes several of one, ``1400_1`` to ``1400_10`` of ``1400``.

    Raises:
        InputError: a hazy image has no clear one, or one of another size; all of them are named.
    """
    clear = {path.stem: path for path in paths}
    hazy = [path for path in sorted(folder.iterdir()) if is_photo(path)]
    found = {path: clear.get(path.stem, clear.get(path.stem.partition("_")[0])) for path in hazy}
    if missing := [path.name for path, photo in found.items() if photo is None]:
        raise InputError(
            f"{len(missing)} of {len(hazy)} images in {folder} have no clear partner: {_some(missing)}.",
            "Add the clear photos, or remove the hazy images.",
        )
    partners = {path: photo for path, photo in found.items() if photo is not None}
    _check_sizes(folder, [(photo, path) for path, photo in partners.items()], 1)
    return partners


def _check_sizes(folder: Path, partners: Sequence[tuple[Path, Path]], scale: int) -> None:
    if wrong := [low.name for path, low in partners if not _fits(path, low, scale)]:
        raise InputError(
            f"{len(wrong)} of {len(partners)} images in {folder} are not {scale} times smaller than their partner:"
            f" {_some(wrong)}.",
            "Check the scale, or make the images again.",
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")


def _fits(path: Path, low: Path, scale: int) -> bool:
    """Whether the sizes differ by the scale, rows and columns that fill no low-quality pixel aside."""
    with Image.open(path) as image, Image.open(low) as reduced:
        return all(
            0 <= edge - reduced_edge * scale < scale
            for edge, reduced_edge in zip(image.size, reduced.size, strict=True)
        )

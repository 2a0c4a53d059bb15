"""Photos and their low-quality partners, matched by name."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ..errors import InputError
from ..images.formats import is_image


def pair(paths: Sequence[Path], folder: Path, template: str, scale: int) -> dict[Path, Path]:
    """The low-quality file of every photo: ``template`` with ``{}`` for the photo's name, any image suffix.

    Raises:
        InputError: the folder is missing, or photos have no partner or one of the wrong size; all of them are named.
    """
    if not folder.is_dir():
        raise InputError(f"The folder {folder} does not exist.", "Check the path, or prepare the data first.")
    there = {path.stem: path for path in sorted(folder.iterdir()) if path.is_file() and is_image(path)}
    found = {path: there.get(template.format(path.stem)) for path in paths}
    if missing := [template.format(path.stem) for path, low in found.items() if low is None]:
        raise InputError(
            f"{len(missing)} of {len(paths)} images have no partner in {folder}: {_some(missing)}.",
            "Check the folder and the pattern of the names.",
        )
    partners = {path: low for path, low in found.items() if low is not None}
    if wrong := [low.name for path, low in partners.items() if not _fits(path, low, scale)]:
        raise InputError(
            f"{len(wrong)} of {len(paths)} images in {folder} are not {scale} times smaller than their partner:"
            f" {_some(wrong)}.",
            "Check the scale, or make the images again.",
        )
    return partners


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")


def _fits(path: Path, low: Path, scale: int) -> bool:
    """Whether the sizes differ by the scale, rows and columns that fill no low-quality pixel aside."""
    with Image.open(path) as image, Image.open(low) as reduced:
        return all(
            0 <= edge - reduced_edge * scale < scale
            for edge, reduced_edge in zip(image.size, reduced.size, strict=True)
        )

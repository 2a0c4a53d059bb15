"""Photos and their low-quality partners, matched by name: for training, and for all that looks at data before it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..errors import InputError
from .photos import is_photo


@dataclass(frozen=True)
class Matched:
    """Good images beside low-quality ones, in the order of the good ones or, of haze, of the others.

    Attributes:
        pairs: a good image and its partner.
        unpaired: good images without a partner.
        extra: low-quality images that belong to none.
    """

    pairs: list[tuple[Path, Path]]
    unpaired: list[Path]
    extra: list[Path]


def match(good: Sequence[Path], low: Sequence[Path], template: str) -> Matched:
    """One partner for every good image.

    The name of a low-quality image is ``template`` with ``{}`` for the good one's without suffix; its suffix may be
    another, but one with the same suffix comes first.
    """
    there: dict[str, list[Path]] = {}
    for path in low:
        there.setdefault(path.stem, []).append(path)
    pairs, unpaired = [], []
    for path in good:
        if partners := there.pop(template.format(path.stem), []):
            pairs.append((path, next((one for one in partners if one.suffix == path.suffix), partners[0])))
        else:
            unpaired.append(path)
    return Matched(pairs, unpaired, [path for paths in there.values() for path in paths])


def match_haze(clear: Sequence[Path], hazy: Sequence[Path]) -> Matched:
    """The clear photo of every hazy image: RESIDE makes several of one, ``1400_1`` to ``1400_10`` of ``1400``."""
    there = {path.stem: path for path in clear}
    found = [(there.get(path.stem, there.get(path.stem.partition("_")[0])), path) for path in hazy]
    pairs = [(photo, path) for photo, path in found if photo is not None]
    used = {photo for photo, _ in pairs}
    return Matched(
        pairs, [path for path in clear if path not in used], [path for photo, path in found if photo is None]
    )


def fits(good: Sequence[int], low: Sequence[int], scale: int) -> bool:
    """Whether two sizes differ by the scale, rows and columns that fill no low-quality pixel aside."""
    return all(0 <= edge - reduced * scale < scale for edge, reduced in zip(good, low, strict=True))


def pair(paths: Sequence[Path], folder: Path, template: str, scale: int) -> dict[Path, Path]:
    """The low-quality file of every photo; see :func:`match`.

    Raises:
        InputError: the folder is missing, or photos have no partner or one of the wrong size; all of them are named.
    """
    if not folder.is_dir():
        raise InputError(f"The folder {folder} does not exist.", "Check the path, or prepare the data first.")
    matched = match(paths, _images(folder), template)
    if matched.unpaired:
        missing = [template.format(path.stem) for path in matched.unpaired]
        raise InputError(
            f"{len(missing)} of {len(paths)} images have no partner in {folder}: {_some(missing)}.",
            "Check the folder and the pattern of the names.",
        )
    _check_sizes(folder, matched.pairs, scale)
    return dict(matched.pairs)


def in_folders(good: Path, low: Path, template: str) -> list[tuple[Path, Path]]:
    """Images of one folder beside those of another, in the order of their names; see :func:`match`.

    Raises:
        InputError: an image of either has no partner; all of them are named.
    """
    matched = match(_images(good), _images(low), template)
    missing = [f"{path} has no partner {template.format(path.stem)}" for path in matched.unpaired]
    missing += [f"{path} has no partner in {good}" for path in matched.extra]
    if missing:
        raise InputError(f"Images have no partner: {_some(missing)}.", "Check the folders and filename_tmpl.")
    return matched.pairs


def pair_haze(paths: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """The clear photo of every hazy image of a folder; see :func:`match_haze`.

    Raises:
        InputError: a hazy image has no clear one, or one of another size; all of them are named.
    """
    hazy = _images(folder)
    matched = match_haze(paths, hazy)
    if matched.extra:
        missing = [path.name for path in matched.extra]
        raise InputError(
            f"{len(missing)} of {len(hazy)} images in {folder} have no clear partner: {_some(missing)}.",
            "Add the clear photos, or remove the hazy images.",
        )
    _check_sizes(folder, matched.pairs, 1)
    return {path: photo for photo, path in matched.pairs}


def _images(folder: Path) -> list[Path]:
    return sorted(filter(is_photo, folder.iterdir()))


def _check_sizes(folder: Path, partners: Sequence[tuple[Path, Path]], scale: int) -> None:
    if wrong := [low.name for path, low in partners if not fits(_size(path), _size(low), scale)]:
        raise InputError(
            f"{len(wrong)} of {len(partners)} images in {folder} are not {scale} times smaller than their partner:"
            f" {_some(wrong)}.",
            "Check the scale, or make the images again.",
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size

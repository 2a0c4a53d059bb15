"""Sets of images to measure on: where they are, which files belong together, and how missing ones are made."""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, UsageError
from ..files.places import located
from . import catalog, degrade, photos
from .combined import from_options
from .degradations import spoilt
from .degrade import Bytes
from .pairs import pair, pair_haze
from .resize import imresize

Make = Callable[[Bytes, Path], NDArray[Any]]
"""From a good image and its file to the low-quality one, bytes or floats in units of white."""

TARGETS = ("HR", "HQ", "clear", "gt", "GT", "target_crops", "*_HQ")
"""Folders of good images within that of a set, as they are published."""

INPUTS = {"clear": "hazy", "gt": "hazy", "GT": "hazy", "target_crops": "input_crops"}
"""Their partners that depend on nothing."""

TEMPLATES = ("{}x{scale}", "{}_LRBI_x{scale}", "{}")


@dataclass(frozen=True)
class Sample:
    """A good image, and the file of its low-quality version if there is one."""

    name: str
    target: Path
    low: Path | None = None


@dataclass(frozen=True)
class ImageSet:
    """Good images with low-quality ones, read from files or made.

    Attributes:
        name: as in the literature, if the folder is called so.
        samples: what there is.
        make: makes the low-quality images of which there is no file.
        source: where the low-quality images come from, in words.
    """

    name: str
    samples: Sequence[Sample]
    make: Make | None = None
    source: str = ""

    def load(self, sample: Sample, scale: int, gray: bool) -> tuple[NDArray[Any], Bytes]:
        """A low-quality image (height, width, channels) and the good one, cut to ``scale`` times its size.

        Raises:
            InputError: a file cannot be read.
        """
        good = photos.load(sample.target, gray)
        if sample.low is not None:
            low: NDArray[Any] = photos.load(sample.low, gray)
        else:
            assert self.make is not None
            height, width = (edge - edge % scale for edge in good.shape[:2])
            low = self.make(np.ascontiguousarray(good[:height, :width]), sample.target)
        return low, good[: low.shape[0] * scale, : low.shape[1] * scale]


def _alone(targets: Sequence[Path]) -> list[Sample]:
    return [Sample(path.stem, path) for path in targets]


def _paired(partners: Mapping[Path, Path]) -> list[Sample]:
    return [Sample(path.stem, path, low) for path, low in partners.items()]


def find(name: str, root: Path) -> Path:
    """The folder called ``name``, else a set of that name below ``root``; case does not matter there.

    Raises:
        InputError: there is none.
    """
    if Path(name).is_dir():
        return Path(name)
    wanted = {name.lower(), f"{name}hq".lower()}
    for folder in sorted(path for pattern in ("*", "*/*") for path in root.glob(pattern)):
        if folder.is_dir() and folder.name.lower() in wanted:
            return folder
    known = f"get the set with mambair fetch {name}" if catalog.by_name(name) else "see mambair fetch --list"
    raise InputError(
        f"There is no folder {name}, and no set of that name in {root}.",
        f"Give a folder of images, {known}, or say where the data is with --root.",
    )


def open_set(folder: Path, scale: int, sigma: float | None = None, quality: int | None = None) -> ImageSet:
    """The images of a folder, in any published layout or simply in the folder.

    With ``sigma`` or ``quality`` the low-quality images are made (unless files of that quality are there). Else they
    are the partners in the layout, or for a scale above 1 reduced as MATLAB does.

    Raises:
        InputError: there are no images, or partners are missing or have a wrong size.
        UsageError: the low-quality images are neither there, nor is said how to make them.
    """
    home = _targets(folder)
    targets = photos.find(home)
    name = (folder if home != folder or folder.name not in TARGETS else folder.parent).resolve().name
    if sigma is not None:
        return ImageSet(
            name, _alone(targets), lambda image, _: degrade.published_noise(image, sigma), f"noise {sigma:g}"
        )
    if beside := _inputs(home, scale, quality):
        return ImageSet(name, _matched(targets, beside, scale), None, str(beside))
    if quality is not None:
        return ImageSet(name, _alone(targets), lambda image, _: degrade.jpeg(image, quality), f"JPEG {quality}")
    if scale > 1:
        return ImageSet(name, _alone(targets), lambda image, _: imresize(image, 1 / scale), "MATLAB's bicubic")
    raise UsageError(
        f"{folder} holds no low-quality images, and nothing says how to make them.",
        "Add --sigma for noise, --quality for JPEG, or give a folder with hazy and clear images.",
    )


def _targets(folder: Path) -> Path:
    found = [path for name in TARGETS for path in sorted(folder.glob(name)) if path.is_dir()]
    return found[0] if found else folder


def _inputs(home: Path, scale: int, quality: int | None) -> Path | None:
    """The folder of low-quality images that belongs to the one of good images."""
    if not any(fnmatchcase(home.name, name) for name in TARGETS):
        return None
    if scale > 1:
        place = home.with_name("LR_bicubic") / f"X{scale}"
    elif quality is not None:
        place = home.with_name(home.name.replace("HQ", "LQ")) / str(quality)
    else:
        place = home.with_name(INPUTS.get(home.name, home.name))
    return place if place.is_dir() and place != home else None


def _matched(targets: Sequence[Path], folder: Path, scale: int) -> list[Sample]:
    if folder.name == "hazy":
        return [Sample(low.stem, target, low) for low, target in pair_haze(targets, folder).items()]
    there = {path.stem for path in folder.iterdir()}
    return _paired(pair(targets, folder, pattern([path.stem for path in targets], there, scale), scale))


def pattern(good: Sequence[str], low: Set[str], scale: int) -> str:
    """The published pattern of low-quality names that fits most of the good names; the usual one if none fits any."""
    patterns = [template.replace("{scale}", str(scale)) for template in TEMPLATES] if scale > 1 else ["{}"]
    return max(patterns, key=lambda one: sum(one.format(name) in low for name in good))


def from_recipe(options: Mapping[str, Any], scale: int, root: Path) -> ImageSet:
    """The set that an entry of a recipe's ``datasets`` describes; its folders are relative to ``root``.

    Raises:
        InputError: images are missing or do not fit together.
        UsageError: it has no good images to compare with.
    """
    name = str(options.get("name") or "test")
    if "dataroot_gt" not in options:
        raise UsageError(
            f"The dataset {name} of the recipe has no dataroot_gt, so nothing can be measured.",
            "Restore its images with mambair upscale, denoise, dejpeg or dehaze.",
        )
    given = options["dataroot_gt"]
    targets = photos.find([located(folder, root) for folder in ([given] if isinstance(given, str) else given)])
    if options.get("dataroot_lq"):
        folder = located(options["dataroot_lq"], root)
        inputs = pair(targets, folder, str(options.get("filename_tmpl", "{}")), scale)
        return ImageSet(name, _paired(inputs), None, str(folder))
    wanted = options.get("degradation", {})
    degradation = from_options(wanted, scale)

    def make(image: Bytes, path: Path) -> NDArray[Any]:
        return spoilt(degradation, image, path)

    return ImageSet(name, _alone(targets), make, str(wanted.get("type", "bicubic")))

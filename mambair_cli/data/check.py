"""What is wrong with the files of a data set: missing, extra, unpaired, of the wrong size, unreadable."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, MambairError
from ..images.decode import decode
from ..images.formats import is_image
from . import imagesets, pairs

Size = tuple[int, int]


@dataclass(frozen=True)
class Problem:
    """One finding; ``kind`` is missing, empty, unreadable, unpaired, extra or size."""

    kind: str
    path: Path
    detail: str = ""


@dataclass(frozen=True)
class Pairing:
    """A folder of good images and one of low-quality ones, smaller by ``scale``."""

    good: Path
    low: Path
    scale: int = 1


def pairings(folder: Path) -> Iterator[Pairing]:
    """The folders below that belong together by their names."""
    for good in sorted(path for name in imagesets.TARGETS for path in folder.rglob(name) if path.is_dir()):
        for low in sorted(good.with_name("LR_bicubic").glob("X[0-9]*")):
            yield Pairing(good, low, int(low.name[1:]))
        beside = good.with_name(good.name.replace("HQ", "LQ"))
        if beside != good:
            yield from (Pairing(good, low) for low in sorted(beside.glob("*")) if low.is_dir())
        partner = imagesets.INPUTS.get(good.name)
        if partner and good.with_name(partner).is_dir():
            yield Pairing(good, good.with_name(partner))


def check(
    folder: Path, layout: Sequence[str], progress: Callable[[int, int], None]
) -> tuple[int, list[Pairing], list[Problem]]:
    """Decode every image below ``folder`` and compare what belongs together.

    Args:
        folder: of a data set.
        layout: folders that must be there and hold images.
        progress: told how many images are done.

    Returns:
        The number of images, the folders that were compared, and what is wrong.

    Raises:
        InputError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise InputError(f"The folder {folder} does not exist.", "Check the path, or fetch the data first.")
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and is_image(path)]
    if not paths:
        raise InputError(f"There is no image in {folder}.", "Check the path, or fetch the data again.")
    sizes, problems = _sizes(paths, progress)
    for name in layout:
        if not (folder / name).is_dir():
            problems.append(Problem("missing", folder / name))
        elif not any(path.is_relative_to(folder / name) for path in paths):
            problems.append(Problem("empty", folder / name))
    compared = list(pairings(folder))
    for pairing in compared:
        problems += _compare(pairing, sizes)
    return len(paths), compared, problems


def _sizes(
    paths: Sequence[Path], progress: Callable[[int, int], None]
) -> tuple[dict[Path, Size | None], list[Problem]]:
    """Height and width of each image, None for those that cannot be read."""
    sizes: dict[Path, Size | None] = {}
    problems = []
    with ThreadPoolExecutor() as pool:
        for path, size in zip(paths, pool.map(_size, paths), strict=True):
            sizes[path] = size if isinstance(size, tuple) else None
            if isinstance(size, str):
                problems.append(Problem("unreadable", path, size))
            progress(len(sizes), len(paths))
    return sizes, problems


def _size(path: Path) -> Size | str:
    try:
        height, width = decode(path).pixels.shape[:2]
    except MambairError as error:
        return error.message
    return height, width


def _compare(pairing: Pairing, sizes: dict[Path, Size | None]) -> list[Problem]:
    good, low = ([path for path in sizes if path.parent == folder] for folder in (pairing.good, pairing.low))
    template = imagesets.pattern([path.stem for path in good], {path.stem for path in low}, pairing.scale)
    matched = pairs.match_haze(good, low) if pairing.low.name == "hazy" else pairs.match(good, low, template)
    problems = [
        Problem("unpaired", path, f"no {template.format(path.stem)} in {pairing.low}") for path in matched.unpaired
    ]
    problems += [Problem("extra", path, f"nothing in {pairing.good} belongs to it") for path in matched.extra]
    for partner, path in matched.pairs:
        size, other = sizes[path], sizes[partner]
        if size and other and not pairs.fits(other, size, pairing.scale):
            detail = f"{size[1]} x {size[0]} pixels beside {other[1]} x {other[0]}, scale {pairing.scale}"
            problems.append(Problem("size", path, detail))
    return problems

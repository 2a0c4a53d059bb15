"""Data looked at before the first step: what is missing, does not pair, has the wrong size or cannot be read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from ..errors import InputError
from ..images import formats

SHOWN = 8
END_OF_PNG = b"IEND"


@dataclass
class Report:
    """One data set: its name, how many images it has, and what is wrong, one sentence each."""

    name: str
    images: int = 0
    mistakes: list[str] = field(default_factory=list)


def check(datasets: dict[str, dict[str, Any]]) -> list[Report]:
    """Look at all data sets of complete options.

    Raises:
        InputError: something is wrong; the message lists the first mistakes of all sets.
    """
    reports = [examine(options) for options in datasets.values()]
    mistakes = [f"{report.name}: {mistake}" for report in reports for mistake in report.mistakes]
    if mistakes:
        more = f"; and {len(mistakes) - SHOWN} more" if len(mistakes) > SHOWN else ""
        raise InputError(
            f"The data cannot be used: {'; '.join(mistakes[:SHOWN])}{more}.",
            "Data paths are relative to --root, $MAMBAIR_DATA or ./datasets.",
        )
    return reports


def examine(options: dict[str, Any]) -> Report:
    """One data set: folders, pairs, sizes from the files' heads, whole files."""
    report = Report(options["name"])
    high, low = (_folders(options.get(key)) for key in ("dataroot_gt", "dataroot_lq"))
    missing = [folder for folder in (*high, *low) if not folder.exists()]
    report.mistakes += [f"{folder} does not exist" for folder in missing]
    if missing or (options.get("io_backend") or {}).get("type", "disk") != "disk":
        report.images = 0 if missing else _lmdb_images(high or low)
        return report
    need = int(options.get("gt_size") or 0) if options["phase"] == "train" else 0
    scale = int(options.get("scale") or 1)
    if high and low:
        _pairs(report, options, high, low, need, scale)
    else:
        images = [image for folder in high or low for image in _images(folder)]
        report.images = len(images)
        for image in images:
            _size(report, image, need)
    if not report.images and not report.mistakes:
        report.mistakes.append(f"{', '.join(map(str, (*high, *low))) or 'no folder is given: it'} holds no image")
    return report


def _folders(value: Any) -> list[Path]:
    values = value if isinstance(value, list) else [value] if value else []
    return [Path(one) for one in values]


def _lmdb_images(folders: Sequence[Path]) -> int:
    listing = folders[0] / "meta_info.txt"
    return len(listing.read_text(encoding="utf-8").splitlines()) if listing.is_file() else 0


def _images(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    return sorted(path for path in folder.rglob("*") if path.is_file() and formats.is_image(path))


def _pairs(
    report: Report, options: dict[str, Any], high: Sequence[Path], low: Sequence[Path], need: int, scale: int
) -> None:
    template = options.get("filename_tmpl") or "{}"
    for gt_folder, lq_folder in zip(high, low, strict=False):
        partners = {path.stem: path for path in _images(lq_folder)}
        for image in _listed(options, gt_folder):
            report.images += 1
            partner = partners.pop(template.format(image.stem), None)
            if partner is None:
                report.mistakes.append(f"{image} has no partner {template.format(image.stem)} in {lq_folder}")
                continue
            _compare(report, _size(report, image, need), _size(report, partner, 0), scale, image, partner)
        if not options.get("meta_info_file"):
            report.mistakes += [f"{path} has no partner in {gt_folder}" for path in partners.values()]


def _listed(options: dict[str, Any], folder: Path) -> Iterator[Path]:
    if listing := options.get("meta_info_file"):
        lines = Path(listing).read_text(encoding="utf-8").splitlines()
        yield from (folder / line.split(" ")[0] for line in lines if line.strip())
    else:
        yield from _images(folder)


def _compare(
    report: Report, gt: tuple[int, int] | None, lq: tuple[int, int] | None, scale: int, image: Path, partner: Path
) -> None:
    """A training pair fits exactly; of a test image BasicSR cuts off the rest of the division."""
    if gt is None or lq is None:
        return
    if any(not 0 <= a - b * scale < scale for a, b in zip(gt, lq, strict=True)):
        report.mistakes.append(
            f"{image} is {gt[0]}x{gt[1]}, not {scale} times {partner} with {lq[0]}x{lq[1]}",
        )


def _size(report: Report, path: Path, need: int) -> tuple[int, int] | None:
    """Width and height; None, and a mistake noted, if the file is damaged. ``need``: the smallest edge wanted."""
    try:
        with Image.open(path) as image:
            size = image.size
        damaged = path.suffix.lower() == ".png" and not _is_whole(path)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        damaged, size = True, (0, 0)
    if damaged:
        report.mistakes.append(f"{path} cannot be read")
        return None
    if min(size) < need:
        report.mistakes.append(f"{path} is {size[0]}x{size[1]}, smaller than gt_size {need}")
    return size


def _is_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-12, 2)
        return END_OF_PNG in file.read()

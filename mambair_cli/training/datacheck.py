"""Data looked at before the first step: what is missing, does not pair, has the wrong size or cannot be read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from ..data import missing, pairs, photos
from ..errors import InputError

SHOWN = 8
END_OF_PNG, END_OF_JPEG = b"IEND", b"\xff\xd9"
TAIL = 1 << 16
"""Bytes at the end of a JPEG file in which its end is looked for; some programs add things."""

PAIRED = ("PairedImageDataset", "RealESRGANPairedDataset")
SINGLE = ("PhotoPatchDataset", "PhotoFolderDataset", "SingleImageDataset", "RealESRGANDataset")
"""Data sets of which it is known how they find their images; of others (of videos, say) only folders are looked at."""

Head = tuple[int, int, int]
"""Width and height of the upright picture, and how it is turned (EXIF, 1 is not at all)."""


@dataclass
class Findings:
    """One data set: its name, how many images it has, folders that are not there, and what is wrong."""

    name: str
    images: int = 0
    missing: list[Path] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)


def check(datasets: dict[str, dict[str, Any]]) -> list[Findings]:
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
            _way_out([folder for report in reports for folder in report.missing]),
        )
    return reports


def _way_out(folders: Sequence[Path]) -> str:
    if not folders:
        return "Mend or remove these files; mambair data check FOLDER looks at all of a folder."
    fetch = missing.command(folders)
    relative = "data paths are relative to --root, $MAMBAIR_DATA or ./datasets."
    return f"Run {fetch}; {relative}" if fetch else relative[:1].upper() + relative[1:]


def examine(options: dict[str, Any]) -> Findings:
    """One data set: folders, pairs, sizes from the files' heads, whole files."""
    report = Findings(options["name"])
    high, low = (_folders(options.get(key)) for key in ("dataroot_gt", "dataroot_lq"))
    absent = [folder for folder in (*high, *low) if not folder.exists()]
    report.missing = absent
    report.mistakes += [f"{folder} does not exist" for folder in absent]
    if absent or (options.get("io_backend") or {}).get("type", "disk") != "disk":
        report.images = 0 if absent else _lmdb_images(high or low)
        return report
    need = int(options.get("gt_size") or 0) if options["phase"] == "train" else 0
    scale = int(options.get("scale") or 1)
    known = options.get("type", PAIRED[0]) in (*PAIRED, *SINGLE)
    if not known:
        report.images = sum(len(_images(folder)) for folder in (high or low))
    elif high and low and options.get("type") != "PhotoFolderDataset":
        _pairs(report, options, high, low, need, scale)
    else:
        images = [image for folder in high or low for image in _named(report, options, folder)]
        report.images = len(images)
        for image in images:
            _head(report, image, need)
    if not report.images and not report.mistakes and (known or high or low):  # others may need no folder
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
    return sorted(filter(photos.is_photo, folder.rglob("*")))


def _named(report: Findings, options: dict[str, Any], folder: Path) -> Iterator[Path]:
    """The images of a folder, or those of it that a list names."""
    listing = options.get("meta_info")
    if not listing:
        yield from _images(folder)
        return
    for line in Path(listing).read_text(encoding="utf-8").splitlines():
        image = folder / line.split(",")[0].split(" ")[0]
        if image.is_file():
            yield image
        elif line.strip():
            report.mistakes.append(f"{image}, which {listing} names, does not exist")


def _pairs(
    report: Findings, options: dict[str, Any], high: Sequence[Path], low: Sequence[Path], need: int, scale: int
) -> None:
    template = options.get("filename_tmpl") or "{}"
    for gt_folder, lq_folder in zip(high, low, strict=False):
        if listing := options.get("meta_info"):
            for line in filter(None, Path(listing).read_text(encoding="utf-8").splitlines()):
                good, comma, poor = line.partition(", ")
                if not comma:
                    report.mistakes.append(f"{listing} names no pair in {line!r}, such as 'good.png, poor.png'")
                    continue
                _pair(report, gt_folder / good, lq_folder / poor, need, scale)
            continue
        matched = pairs.match(list(_listed(options, gt_folder)), _photos(lq_folder), template)
        for image, partner in matched.pairs:
            _pair(report, image, partner, need, scale)
        report.images += len(matched.unpaired)
        report.mistakes += [
            f"{image} has no partner {template.format(image.stem)} in {lq_folder}" for image in matched.unpaired
        ]
        if not options.get("meta_info_file"):
            report.mistakes += [f"{path} has no partner in {gt_folder}" for path in matched.extra]


def _listed(options: dict[str, Any], folder: Path) -> Iterator[Path]:
    if listing := options.get("meta_info_file"):
        lines = Path(listing).read_text(encoding="utf-8").splitlines()
        yield from (folder / line.split(" ")[0] for line in lines if line.strip())
    else:
        yield from _photos(folder)


def _photos(folder: Path) -> list[Path]:
    return sorted(filter(photos.is_photo, folder.iterdir()))


def _pair(report: Findings, image: Path, partner: Path, need: int, scale: int) -> None:
    """A training pair fits exactly; of a test image BasicSR cuts off the rest of the division."""
    report.images += 1
    gt, lq = _head(report, image, need), _head(report, partner, 0)
    if gt is None or lq is None:
        return
    if gt[2] != lq[2]:
        turned, plain = (image, partner) if gt[2] != 1 else (partner, image)
        report.mistakes.append(
            f"{turned} is turned by its EXIF orientation {max(gt[2], lq[2])}, and {plain} is not; store it upright"
        )
    elif not pairs.fits(gt[:2], lq[:2], scale):
        report.mistakes.append(
            f"{image} is {gt[0]}x{gt[1]}, not {scale} times {partner} with {lq[0]}x{lq[1]}",
        )


def _head(report: Findings, path: Path, need: int) -> Head | None:
    """None, and a mistake noted, if the file is damaged. ``need``: the smallest edge wanted."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = int(image.getexif().get(ExifTags.Base.Orientation, 1))
            whole = _is_whole(path, image.format)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError):
        whole, turned, width, height = False, 1, 0, 0
    if not whole:
        report.mistakes.append(f"{path} cannot be read")
        return None
    if turned > 4:
        width, height = height, width
    if min(width, height) < need:
        report.mistakes.append(f"{path} is {width}x{height}, smaller than gt_size {need}")
    return width, height, turned


def _is_whole(path: Path, kind: str | None) -> bool:
    """Whether the file has its end; a JPEG file without one is decoded, to be sure."""
    if kind not in ("PNG", "JPEG"):
        return True
    with path.open("rb") as file:
        file.seek(-min(TAIL if kind == "JPEG" else 12, path.stat().st_size), 2)
        if (END_OF_JPEG if kind == "JPEG" else END_OF_PNG) in file.read():
            return True
    return kind == "JPEG" and cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) is not None

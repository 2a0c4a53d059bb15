"""Folders of photographs: found, checked, decoded once as long as they fit, and searched for detail."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import InputError
from ..images import planes
from ..images.decode import decode, decode_bytes
from ..images.formats import is_image
from ..images.picture import Picture
from ..locations import either
from ..locations.url import Location, Url
from .degrade import Bytes

CELL = 16
"""Edge in pixels of the squares over which detail is summed up."""


def find(folders: str | Path | Iterable[str | Path]) -> list[Path]:
    """All images of one or several folders and of the folders in them, in the order of their names.

    Raises:
        InputError: a folder is missing, or there is no image.
    """
    roots = [Path(folder).expanduser() for folder in ([folders] if isinstance(folders, str | Path) else folders)]
    for root in roots:
        if not root.is_dir():
            raise InputError(f"The folder {root} does not exist.", "Check the path, or fetch the images first.")
    paths = [path for root in roots for path in sorted(root.rglob("*")) if is_photo(path)]
    if not paths:
        raise InputError(f"There is no image in {', '.join(map(str, roots))}.", "Put photos there, or change the path.")
    return paths


def search(folder: Location) -> list[Location]:
    """As :func:`find`, in one folder that may be behind a URL.

    Raises:
        InputError: there is no image.
    """
    if not isinstance(folder, Url):
        return list(find(folder))
    from ..locations import objects

    urls: list[Location] = [
        url
        for url in objects.files(folder, recursive=True)
        if is_image(url) and not any(part.startswith(".") for part in url.path[len(folder.path) :].split("/"))
    ]
    if not urls:
        raise InputError(f"There is no image in {folder}.", "Put photos there, or change the URL.")
    return urls


def is_photo(path: Path) -> bool:
    """Whether it is a file with the suffix of an image, and none that a system hides beside images."""
    return not path.name.startswith(".") and is_image(path) and path.is_file()


def check_sizes(paths: Sequence[Location], least: int) -> None:
    """Refuse files that are no images or have an edge of less than ``least`` pixels, all of them at once.

    Raises:
        InputError: there are such files.
    """
    bad = [f"{path} ({problem})" for path in paths if (problem := _problem(path, least))]
    if bad:
        shown = ", ".join(bad[:5]) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
        raise InputError(f"{len(bad)} of {len(paths)} images cannot be used: {shown}.", "Remove or replace them.")


def _problem(path: Location, least: int) -> str:
    try:
        with either.opened(path) as file, Image.open(file) as image:
            width, height = image.size
    except (OSError, Image.DecompressionBombError):
        return "unreadable"
    return f"{width} x {height} pixels, less than {least}" if min(width, height) < least else ""


def load(path: Location, gray: bool = False) -> Bytes:
    """A photo as 8-bit RGB, or as gray (luma of BT.601), without transparency.

    Raises:
        InputError: it cannot be read.
    """
    pixels = planes.colour(_decoded(path).pixels)
    if pixels.dtype != np.uint8:
        pixels = np.rint(pixels / (planes.white(pixels) / 255)).astype(np.uint8)
    if pixels.shape[2] == (1 if gray else 3):
        return np.ascontiguousarray(pixels)
    return luma(pixels) if gray else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), np.uint8)


def _decoded(path: Location) -> Picture:
    if isinstance(path, Path):
        return decode(path)
    with either.opened(path) as file:
        return decode_bytes(file.read(), str(path))


def luma(pixels: Bytes) -> Bytes:
    """Gray (luma of BT.601) of RGB; gray as it is."""
    if pixels.shape[2] == 1:
        return pixels
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)[:, :, None]


def detail(photo: Bytes) -> NDArray[np.float32]:
    """Sums of detail over the rectangle from the corner to each cell: (height // 16 + 1, width // 16 + 1).

    Detail of a cell is the mean absolute difference of neighbouring pixels of the green or gray channel.
    """
    plane = photo[:, :, min(1, photo.shape[2] - 1)]
    edges = cv2.absdiff(plane[:-1, :-1], plane[1:, :-1]) // 2 + cv2.absdiff(plane[:-1, :-1], plane[:-1, 1:]) // 2
    cells = cv2.resize(
        edges, (max(plane.shape[1] // CELL, 1), max(plane.shape[0] // CELL, 1)), None, 0, 0, cv2.INTER_AREA
    )
    return np.asarray(cv2.integral(cells.astype(np.float32), sdepth=cv2.CV_32F), np.float32)


def detail_of(sums: NDArray[np.float32], place: Sequence[int], edge: int) -> float:
    """Detail in the cells that the square patch at ``place`` (top, left) covers for the most part."""
    (top, bottom), (left, right) = (
        (min(round(start / CELL), count - 1), min(round((start + edge) / CELL), count - 1))
        for start, count in zip(place, sums.shape, strict=True)
    )
    return float(sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left])


@dataclass(frozen=True)
class Photo:
    """A decoded photo and where it has detail."""

    pixels: Bytes
    detail: NDArray[np.float32]


@dataclass
class Photos:
    """Photos by number, the last used ones kept decoded.

    Attributes:
        gray: luma only.
        multiple: rows and columns at the end that make no full multiple are cut off.
        keep: bytes of decoded photos to keep.
    """

    paths: Sequence[Path]
    gray: bool = False
    multiple: int = 1
    keep: int = 1 << 30
    _kept: "OrderedDict[int, Photo]" = field(default_factory=OrderedDict, init=False, repr=False)
    _bytes: int = field(default=0, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Photo:
        photo = self._kept.get(index)
        if photo is None:
            photo = self._keep(index, self._load(index))
        self._kept.move_to_end(index)
        return photo

    def preload(self) -> None:
        """Decode all photos now, on all cores, and keep them whatever their size."""
        self.keep = np.iinfo(np.int64).max
        with ThreadPoolExecutor() as pool:
            for index, photo in enumerate(pool.map(self._load, range(len(self)))):
                self._keep(index, photo)

    def _load(self, index: int) -> Photo:
        pixels = load(self.paths[index], self.gray)
        height, width = (edge - edge % self.multiple for edge in pixels.shape[:2])
        pixels = np.ascontiguousarray(pixels[:height, :width])
        return Photo(pixels, detail(pixels))

    def _keep(self, index: int, photo: Photo) -> Photo:
        self._kept[index] = photo
        self._bytes += photo.pixels.nbytes
        while self._bytes > self.keep and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].pixels.nbytes
        return photo

"""Datasets that a recipe can name: patches of photos for training, whole photos for validation.

Items are dictionaries as BasicSR's: ``lq`` and ``gt``, float32 tensors (channels, height, width) in units of white and
RGB order, ``lq_path`` and ``gt_path``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import UsageError
from . import combined, photos
from .combined import from_options
from .degradations import Box, spoilt
from .degrade import Bytes
from .pairs import pair

CANDIDATES = 4
"""Places of a photo that are compared when a patch with detail is wanted."""

Item = dict[str, Any]


def tensor(pixels: NDArray[Any]) -> Tensor:
    """(height, width, channels) of bytes or floats as (channels, height, width) of floats."""
    planes = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
    return planes.float() / 255 if planes.dtype == torch.uint8 else planes.float()


def symmetry(pixels: NDArray[Any], mirrored: bool, upset: bool, turned: bool) -> NDArray[Any]:
    """One of the eight ways to lay a square picture on itself."""
    pixels = pixels[:, ::-1] if mirrored else pixels
    pixels = pixels[::-1] if upset else pixels
    return pixels.swapaxes(0, 1) if turned else pixels


class PhotoPatchDataset(Dataset[Item]):
    """Square patches of photos, with low-quality versions made on the fly.

    Options:
        dataroot_gt: a folder of photos, or several; folders within are searched.
        gt_size: edge of a patch in pixels, a multiple of ``scale``.
        scale: 1, or how much smaller the low-quality patch is.
        degradation: see :func:`mambair_cli.data.combined.from_options`; default bicubic.
        shrink: patches are cut this much larger and averaged down, so that they show more of the photo: a number or
            a range from 1; default 1.
        gamma: exponents of the brightness, above 1 darker: a number or a range; default 1.
        detail: how often the patch with most detail of four is taken, 0 to 1; default 0.
        use_hflip, use_rot: mirror, and turn by quarters; both together give all eight symmetries; default true.
        gray: luma only; default false.
        gray_probability: how often a patch loses its colours and keeps its channels, so that a network for colours
            learns gray pictures too; default 0.
        in_memory: decode all photos at the start; default false.
        cache_mib: how much of the decoded photos to keep otherwise; default 1024 for each worker.
        patches_per_photo: length of the dataset over the number of photos; default 1.

    Raises:
        InputError: no photos, or photos that are unreadable or too small.
        UsageError: an option makes no sense.
    """

    def __init__(self, opt: Mapping[str, Any]) -> None:
        self.scale, self.edge = int(opt.get("scale", 1)), int(opt["gt_size"])
        if self.edge <= 0 or self.edge % self.scale:
            raise UsageError(
                f"gt_size {self.edge} is no multiple of the scale {self.scale}.", "Change gt_size, or the scale."
            )
        self.detail = float(opt.get("detail", 0))
        if not 0 <= self.detail <= 1:
            raise UsageError(f"detail: {self.detail} is not between 0 and 1.", "Give a number from 0 to 1.")
        self.shrink, self.gamma = _range("shrink", opt.get("shrink", 1), 1), _range("gamma", opt.get("gamma", 1), 0.1)
        self.degrade = from_options(opt.get("degradation", {}), self.scale)
        self.flips, self.turns = bool(opt.get("use_hflip", True)), bool(opt.get("use_rot", True))
        self.gray_probability = float(opt.get("gray_probability", 0))
        self.patches_per_photo = int(opt.get("patches_per_photo", 1))
        paths = photos.find(opt["dataroot_gt"])
        photos.check_sizes(paths, max(self.edge, photos.CELL))
        keep = int(opt.get("cache_mib", 1024)) << 20
        self.photos = photos.Photos(paths, bool(opt.get("gray", False)), self.scale, keep)
        if opt.get("in_memory"):
            self.photos.preload()

    def __len__(self) -> int:
        return len(self.photos) * self.patches_per_photo

    def __getitem__(self, index: int) -> Item:
        return self.draw(index, np.random.default_rng(index))

    def draw(self, index: int, rng: np.random.Generator) -> Item:
        """A patch of photo ``index % photos``; everything else is a function of what ``rng`` gives."""
        number = index % len(self.photos)
        photo = self.photos[number]
        edge = self._edge(photo, rng)
        box = self._place(photo, edge, rng)
        mirrored, upset, turned = rng.random(3) < 0.5
        ways = (mirrored and self.flips, upset and self.turns, turned and self.turns)
        pixels, box = self._changed(photo.pixels, box, rng)
        if self.gray_probability and rng.random() < self.gray_probability:
            high, low = combined.gray(self.degrade, pixels, box, rng)
        else:
            high, low = box.cut(pixels), self.degrade(pixels, box, rng)
        path = str(self.photos.paths[number])
        return {
            "lq": tensor(symmetry(low, *ways)),
            "gt": tensor(symmetry(high, *ways)),
            "lq_path": path,
            "gt_path": path,
        }

    def _edge(self, photo: photos.Photo, rng: np.random.Generator) -> int:
        """Edge of the patch in the photo."""
        if self.shrink == (1, 1):
            return self.edge
        height, width = photo.pixels.shape[:2]
        return int(min(round(self.edge * rng.uniform(*self.shrink)), height, width))

    def _changed(self, photo: Bytes, box: Box, rng: np.random.Generator) -> tuple[Bytes, Box]:
        """A photo with the patch at the size and brightness wanted: this one, or the patch alone."""
        gamma = 1 if self.gamma == (1, 1) else rng.uniform(*self.gamma)
        if (box.height, gamma) == (self.edge, 1):
            return photo, box
        small = cv2.resize(box.cut(photo), (self.edge, self.edge), interpolation=cv2.INTER_AREA)
        curve = np.rint(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)
        return curve[small.reshape(self.edge, self.edge, -1)], Box(0, 0, self.edge, self.edge)

    def _place(self, photo: photos.Photo, edge: int, rng: np.random.Generator) -> Box:
        """A random place, or the one with most detail of a few, on the grid of low-quality pixels."""
        room = np.array(photo.pixels.shape[:2]) - edge
        picky = rng.random() < self.detail
        places = rng.integers(0, room // self.scale, size=(CANDIDATES, 2), endpoint=True) * self.scale
        best = 0
        if picky:
            best = int(np.argmax([photos.detail_of(photo.detail, place, edge) for place in places.tolist()]))
        return Box(int(places[best, 0]), int(places[best, 1]), edge, edge)


def _range(name: str, value: Any, least: float) -> tuple[float, float]:
    low, high = value if isinstance(value, list | tuple) else (value, value)
    if not least <= low <= high:
        raise UsageError(f"{name}: {value!r} is no range from {least}.", f"Write {name}: [1, 2], or one number.")
    return (low, high)


class PhotoFolderDataset(Dataset[Item]):
    """Whole photos, with low-quality versions made the same way every time or read from files.

    Options:
        dataroot_gt: a folder of photos.
        dataroot_lq: a folder of their low-quality versions; without it, ``degradation`` makes them.
        filename_tmpl: name of the low-quality file, ``{}`` standing for that of the photo; default: ``{}``.
        scale, degradation, gray: as for :class:`PhotoPatchDataset`.

    Raises:
        InputError: no photos, or photos without a partner or of which the partner has the wrong size.
        UsageError: an option makes no sense.
    """

    def __init__(self, opt: Mapping[str, Any]) -> None:
        self.scale, self.gray = int(opt.get("scale", 1)), bool(opt.get("gray", False))
        self.paths = photos.find(opt["dataroot_gt"])
        self.low: dict[Path, Path] = {}
        if opt.get("dataroot_lq"):
            self.low = pair(self.paths, Path(opt["dataroot_lq"]), str(opt.get("filename_tmpl", "{}")), self.scale)
        photos.check_sizes(self.paths, self.scale)
        self.degrade = from_options(opt.get("degradation", {}), self.scale)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Item:
        path = self.paths[index]
        high, low_path = photos.load(path, self.gray), self.low.get(path, path)
        height, width = (edge - edge % self.scale for edge in high.shape[:2])
        high = np.ascontiguousarray(high[:height, :width])
        if path in self.low:
            low: NDArray[Any] = photos.load(low_path, self.gray)
            high = high[: low.shape[0] * self.scale, : low.shape[1] * self.scale]
        else:
            low = spoilt(self.degrade, high, path)
        return {"lq": tensor(low), "gt": tensor(high), "lq_path": str(low_path), "gt_path": str(path)}


DATASETS: dict[str, type] = {"PhotoPatchDataset": PhotoPatchDataset, "PhotoFolderDataset": PhotoFolderDataset}

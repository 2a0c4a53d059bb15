"""Data sets that a recipe can name: patches of photos for training, whole photos for validation.

Each declares its options as ``Options``, a section with :class:`Loaded` below it.

Items are dictionaries as BasicSR's: ``lq`` and ``gt``, float32 tensors (channels, height, width) in units of white and
RGB order, ``lq_path`` and ``gt_path``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from ..declaration import (
    Count,
    Folders,
    Positive,
    Probability,
    Range,
    Section,
    Template,
    Within,
    checked,
)
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


class Loaded(Section):
    """What every data set may state; the loader reads it."""

    name: str
    """For messages, and the folder of its result images."""

    phase: Literal["train", "val", "test"] | None = None
    """Set from the data set's place in the recipe."""

    scale: Positive | None = None
    """Set from the recipe's scale."""

    batch_size_per_gpu: Positive = 1
    """Samples per step and process."""

    num_worker_per_gpu: Count = 0
    """Processes that load data, for each training process."""

    use_shuffle: bool = True
    """Whether each epoch has an order of its own; else all go through the images as they are listed."""

    dataset_enlarge_ratio: Positive = 1
    """How often an epoch goes through the images."""

    prefetch_mode: Literal["cpu", "cuda"] | None = None
    """Carried by BasicSR's recipes; no effect, which is said: the loading processes work ahead by themselves."""

    num_prefetch_queue: Positive = 1
    """Carried by BasicSR's recipes; no effect, which is said."""

    pin_memory: bool = False
    """Load into page-locked memory; quicker on its way to a GPU."""

    persistent_workers: bool = False
    """Carried by published recipes; no effect, which is said: loading processes live as long as the training."""


class Augmented(Section):
    """Patches and symmetries of training."""

    gt_size: Positive | None = None
    """Side in pixels of the clean patch; a multiple of the scale. Needed in training."""

    use_hflip: bool = True
    """Mirror half of the samples."""

    use_rot: bool = True
    """Turn samples by quarters; with use_hflip all eight symmetries."""


class Photos(Loaded):
    """What our two data sets share."""

    dataroot_gt: Folders
    """Folder (or folders) of photos, relative to the data root; folders within are searched."""

    degradation: combined.Made = Field({"type": "bicubic"})
    """How the low-quality image is made."""

    gray: bool = False
    """Luma only, for networks with one channel."""


class PhotoPatches(Photos, Augmented):
    """Patches of photos, degraded on the fly."""

    detail: Probability = 0.0
    """How often the patch with most detail of a few is taken."""

    gray_probability: Probability = 0.0
    """How often a patch loses its colours but keeps its channels, so that a network for colours learns gray, too."""

    shrink: Annotated[Range, Within(1, 16)] = (1, 1)
    """How much larger patches are cut before they are averaged down: a number, or [low, high]."""

    gamma: Annotated[Range, Within(0.1, 10)] = (1, 1)
    """Exponents of the brightness of patches, above 1 darker: a number, or [low, high]."""

    in_memory: bool = False
    """Decode all photos at the start."""

    cache_mib: Count = 1024
    """How much of the decoded photos to keep otherwise, for each worker."""

    patches_per_photo: Positive = 1
    """Length of the data set over the number of photos."""


class PhotoFolders(Photos):
    """Whole photos, degraded the same way every time, or read beside degraded files."""

    dataroot_lq: str | None = None
    """Folder of degraded images; without it, degradation makes them."""

    filename_tmpl: Template = "{}"
    """Name of a degraded image, from its photo's without extension: '{}x2'."""


Options = TypeVar("Options", bound=Loaded)


def read(declared: type[Options], given: Mapping[str, Any]) -> Options:
    """The options of a data set by their declaration; BasicSR adds ``type``.

    Raises:
        UsageError: something of them is wrong.
    """
    options = {"name": "photos", **given}
    kind = options.pop("type", "photos")
    return checked(declared, options, f"dataset {kind}")


class PhotoPatchDataset(Dataset[Item]):
    """Square patches of photos, with low-quality versions made on the fly.

    Raises:
        InputError: no photos, or photos that are unreadable or too small.
        UsageError: an option makes no sense.
    """

    Options = PhotoPatches

    def __init__(self, opt: Mapping[str, Any]) -> None:
        options = read(PhotoPatches, opt)
        self.scale, self.edge = options.scale or 1, options.gt_size or 0
        if not self.edge or self.edge % self.scale:
            raise UsageError(
                f"gt_size {self.edge} is no multiple of the scale {self.scale}.", "Change gt_size, or the scale."
            )
        self.options = options
        self.degrade = from_options(opt.get("degradation", {}), self.scale)
        paths = photos.find(options.dataroot_gt)
        photos.check_sizes(paths, max(self.edge, photos.CELL))
        self.photos = photos.Photos(paths, options.gray, self.scale, options.cache_mib << 20)
        if options.in_memory:
            self.photos.preload()

    def __len__(self) -> int:
        return len(self.photos) * self.options.patches_per_photo

    def __getitem__(self, index: int) -> Item:
        return self.draw(index, np.random.default_rng(index))

    def draw(self, index: int, rng: np.random.Generator) -> Item:
        """A patch of photo ``index % photos``; everything else is a function of what ``rng`` gives."""
        number = index % len(self.photos)
        photo = self.photos[number]
        edge = self._edge(photo, rng)
        box = self._place(photo, edge, rng)
        mirrored, upset, turned = rng.random(3) < 0.5
        flips, turns = self.options.use_hflip, self.options.use_rot
        ways = (mirrored and flips, upset and turns, turned and turns)
        pixels, box = self._changed(photo.pixels, box, rng)
        if (share := self.options.gray_probability) and rng.random() < share:
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
        if self.options.shrink == (1, 1):
            return self.edge
        height, width = photo.pixels.shape[:2]
        return int(min(round(self.edge * rng.uniform(*self.options.shrink)), height, width))

    def _changed(self, photo: Bytes, box: Box, rng: np.random.Generator) -> tuple[Bytes, Box]:
        """A photo with the patch at the size and brightness wanted: this one, or the patch alone."""
        gamma = 1 if self.options.gamma == (1, 1) else rng.uniform(*self.options.gamma)
        if (box.height, gamma) == (self.edge, 1):
            return photo, box
        small = cv2.resize(box.cut(photo), (self.edge, self.edge), interpolation=cv2.INTER_AREA)
        curve = np.rint(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)
        return curve[small.reshape(self.edge, self.edge, -1)], Box(0, 0, self.edge, self.edge)

    def _place(self, photo: photos.Photo, edge: int, rng: np.random.Generator) -> Box:
        """A random place, or the one with most detail of a few, on the grid of low-quality pixels."""
        room = np.array(photo.pixels.shape[:2]) - edge
        picky = rng.random() < self.options.detail
        places = rng.integers(0, room // self.scale, size=(CANDIDATES, 2), endpoint=True) * self.scale
        best = 0
        if picky:
            best = int(np.argmax([photos.detail_of(photo.detail, place, edge) for place in places.tolist()]))
        return Box(int(places[best, 0]), int(places[best, 1]), edge, edge)


class PhotoFolderDataset(Dataset[Item]):
    """Whole photos, with low-quality versions made the same way every time or read from files.

    Raises:
        InputError: no photos, or photos without a partner or of which the partner has the wrong size.
        UsageError: an option makes no sense.
    """

    Options = PhotoFolders

    def __init__(self, opt: Mapping[str, Any]) -> None:
        options = read(PhotoFolders, opt)
        self.scale, self.gray = options.scale or 1, options.gray
        self.paths = photos.find(options.dataroot_gt)
        self.low: dict[Path, Path] = {}
        if options.dataroot_lq:
            self.low = pair(self.paths, Path(options.dataroot_lq), options.filename_tmpl, self.scale)
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


DATASETS: dict[str, type[Any]] = {}
"""By the name in recipes."""

Kind = TypeVar("Kind", bound=type[Any])


def dataset(kind: Kind) -> Kind:
    """Have recipes know a class of data sets, whose ``Options`` declares what it takes, by its name."""
    DATASETS[kind.__name__] = kind
    return kind


dataset(PhotoPatchDataset)
dataset(PhotoFolderDataset)

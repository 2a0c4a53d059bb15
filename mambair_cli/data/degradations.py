"""The degradations that a recipe can name, each a class whose fields and docstring declare its options.

Options are checked once, then one low-quality patch is made after the other.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import signatures
from ..declaration import Among, Part, Probability, Range, Within, from_signature
from ..errors import UsageError
from ..locations.url import Location
from . import degrade
from .degrade import Bytes
from .depth import DEPTHS, standing
from .resize import imresize

JPEG_GRID = 16
"""Pixels after which JPEG with halved colours repeats its blocks."""


@dataclass(frozen=True)
class Box:
    """A patch of a photo, in pixels; top and left are multiples of the scale."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, photo: Bytes) -> Bytes:
        """The patch itself."""
        return photo[self.top : self.top + self.height, self.left : self.left + self.width]

    def widened(self, margin: int, photo: Bytes) -> "Box":
        """With ``margin`` more pixels on each side, where the photo has them."""
        top, left = max(self.top - margin, 0), max(self.left - margin, 0)
        bottom = min(self.top + self.height + margin, photo.shape[0])
        right = min(self.left + self.width + margin, photo.shape[1])
        return Box(top, left, bottom - top, right - left)

    def within(self, other: "Box", scale: int = 1) -> "Box":
        """The same patch in the coordinates of a box around it, reduced by ``scale``."""
        top, left = self.top - other.top, self.left - other.left
        return Box(top // scale, left // scale, self.height // scale, self.width // scale)


class Degradation(Protocol):
    """Makes the low-quality patch of a box of a photo: uint8, or float32 in units of white."""

    def __call__(self, photo: Bytes, box: Box, rng: np.random.Generator) -> NDArray[Any]:
        """The patch, (height / scale, width / scale, channels)."""


KINDS: dict[str, Callable[..., Degradation]] = {}
"""By the name in recipes."""

Kind = TypeVar("Kind", bound=Callable[..., Degradation])


def degradation(name: str) -> Callable[[Kind], Kind]:
    """Have recipes know a frozen dataclass as ``type: name``.

    Its fields are the options. One called ``scale`` is none, but the recipe's scale; without it the size is kept.
    """

    def known(kind: Kind) -> Kind:
        KINDS[name] = kind
        return kind

    return known


def reduces(name: str) -> bool:
    """Whether a degradation makes the picture smaller by the recipe's scale."""
    return "scale" in signatures.of(KINDS[name], name).defaults


def declared(name: str) -> type[Part]:
    """The options of a degradation."""
    return from_signature(signatures.of(KINDS[name], name, ("scale",), hinted=True))


@degradation("none")
@dataclass(frozen=True)
class Nothing:
    """The patch as it is."""

    def __call__(self, photo: Bytes, box: Box, rng: np.random.Generator) -> NDArray[Any]:
        """See :class:`Degradation`."""
        return box.cut(photo)


@degradation("bicubic")
@dataclass(frozen=True)
class Bicubic:
    """Reduced as MATLAB does: the patch of the reduced photo, not the reduced patch, which would have a border."""

    scale: int

    def __call__(self, photo: Bytes, box: Box, rng: np.random.Generator) -> NDArray[Any]:
        """See :class:`Degradation`; the sides of the photo are multiples of the scale."""
        if self.scale == 1:
            return box.cut(photo)
        around = box.widened(2 * self.scale, photo)  # as far as the kernel sees
        return box.within(around, self.scale).cut(imresize(around.cut(photo), 1 / self.scale))


@degradation("noise")
@dataclass(frozen=True)
class Noise:
    """Gaussian noise of a random strength.

    Attributes:
        sigma: standard deviation in levels of 8 bits.
        gray_probability: how often all channels get the same noise.
        shot: share of the variance that grows with brightness.
        clip_probability: how often the result is clipped and rounded, as in a file; published training never does.
    """

    sigma: Annotated[Range, Within(0, 255)]
    gray_probability: Probability = 0.0
    shot: Annotated[Range, Within(0, 1)] = (0.0, 0.0)
    clip_probability: Probability = 0.0

    def __call__(self, photo: Bytes, box: Box, rng: np.random.Generator) -> NDArray[Any]:
        """See :class:`Degradation`."""
        sigma, shot = rng.uniform(*self.sigma), rng.uniform(*self.shot)
        gray, clip = rng.random() < self.gray_probability, rng.random() < self.clip_probability
        noisy = degrade.noise(box.cut(photo), rng, sigma, gray=gray, shot=shot)
        return degrade.stored(noisy) if clip else noisy


@degradation("jpeg")
@dataclass(frozen=True)
class Jpeg:
    """JPEG of a random quality.

    Attributes:
        quality: 1 to 100.
        subsampling: the ways of storing colours, drawn from evenly.
        shifted: whether the blocks start anywhere, as in a patch of a compressed photo, or at the patch's corner.
    """

    quality: Annotated[Range, Within(1, 100)]
    subsampling: Annotated[tuple[str, ...], Among(tuple(degrade.SUBSAMPLING))] = ("4:4:4",)
    shifted: bool = True

    def __call__(self, photo: Bytes, box: Box, rng: np.random.Generator) -> NDArray[Any]:
        """See :class:`Degradation`."""
        quality = int(rng.integers(int(self.quality[0]), int(self.quality[1]), endpoint=True))
        subsampling = self.subsampling[rng.integers(len(self.subsampling))]
        down, right = (int(shift) for shift in rng.integers(JPEG_GRID, size=2))
        around = self._around(photo, box, down, right)
        return box.within(around).cut(degrade.jpeg(around.cut(photo), quality, subsampling))

    def _around(self, photo: Bytes, box: Box, down: int, right: int) -> Box:
        """The blocks start ``down`` and ``right`` pixels before the patch, and end well behind it."""
        wide = box.widened(JPEG_GRID, photo)
        top, left = box.top, box.left
        if self.shifted:
            top, left = max(box.top - down, wide.top), max(box.left - right, wide.left)
        return Box(top, left, wide.top + wide.height - top, wide.left + wide.width - left)


@degradation("haze")
@dataclass(frozen=True)
class Haze:
    """Haze by atmospheric scattering through a random depth field.

    Attributes:
        beta: scattering over the whole depth: 0.5 is thin, 3 lets 5 % through where it is deepest.
        airlight: brightness of the haze, 0 to 1.
        tint: how far a colour of the airlight may be from its brightness.
        depth: kinds of depth field, drawn from evenly.
        standing_probability: how often things stand in the scene, with edges where the picture has some.
        clear_probability: how often there is no haze, and the patch stays as it is.
        sigma: noise of the camera, which is not hazy: standard deviation in levels of 8 bits.
        quality: of the JPEG file.
        jpeg_probability: how often the hazy picture has been a JPEG file.
    """

    beta: Annotated[Range, Within(0, 20)] = (0.4, 2.5)
    airlight: Annotated[Range, Within(0, 1)] = (0.6, 1.0)
    tint: Probability = 0.05
    depth: Annotated[tuple[str, ...], Among(tuple(DEPTHS))] = tuple(DEPTHS)
    standing_probability: Probability = 0.0
    clear_probability: Probability = 0.0
    sigma: Annotated[Range, Within(0, 255)] = (0.0, 0.0)
    quality: Annotated[Range, Within(1, 100)] = (100, 100)
    jpeg_probability: Probability = 0.0

    def __call__(self, photo: Bytes, box: Box, rng: np.random.Generator) -> NDArray[Any]:
        """See :class:`Degradation`; a patch sees some part of the depth of a picture."""
        clear = box.cut(photo)
        if rng.random() < self.clear_probability:
            return clear
        tint = rng.uniform(-self.tint, self.tint, clear.shape[2])
        airlight = np.clip(rng.uniform(*self.airlight) + tint, 0, 1)
        hazy = degrade.haze(clear, self._depth(clear, rng), rng.uniform(*self.beta), airlight.tolist())
        return self._taken(hazy, rng)

    def _depth(self, clear: Bytes, rng: np.random.Generator) -> degrade.Floats:
        field = DEPTHS[self.depth[rng.integers(len(self.depth))]](clear.shape[:2], rng)
        if rng.random() < self.standing_probability:
            field = standing(field, clear, rng)
        far = np.float32(rng.uniform(0.5, 1))
        near = far * np.float32(rng.uniform(0, 0.8))
        return near + (far - near) * field

    def _taken(self, hazy: degrade.Floats, rng: np.random.Generator) -> NDArray[Any]:
        """As a camera takes it."""
        sigma, compressed = rng.uniform(*self.sigma), rng.random() < self.jpeg_probability
        if sigma:
            hazy = hazy + rng.standard_normal(hazy.shape, dtype=np.float32) * np.float32(sigma / 255)
        if not compressed:
            return np.clip(hazy, 0, 1)
        quality = int(rng.integers(int(self.quality[0]), int(self.quality[1]), endpoint=True))
        return degrade.jpeg(degrade.stored(hazy), quality, "4:2:0")


def spoilt(degradation: Degradation, photo: Bytes, path: Location) -> NDArray[Any]:
    """A whole photo, its sides multiples of the scale, degraded in a way that depends on its file's name alone.

    Every validation sees the same. Noise of one strength is the one on which papers compare.
    """
    if isinstance(degradation, Noise) and degradation == Noise((degradation.sigma[0],) * 2):
        return degrade.published_noise(photo, degradation.sigma[0])
    rng = np.random.default_rng(zlib.crc32(path.name.encode()))
    return degradation(photo, Box(0, 0, *photo.shape[:2]), rng)


def check_scale(kind: str, scale: int) -> None:
    """Refuse a scale other than 1 for a degradation that keeps the size.

    Raises:
        UsageError: the scale is another one.
    """
    if scale != 1:
        raise UsageError(f"The degradation {kind} keeps the size, but the scale is {scale}.", "Set scale: 1.")

"""Measure a model: every image of a set through the engine, compared with what it should have been."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import degrade
from ..data.degrade import Bytes
from ..data.imagesets import ImageSet
from ..errors import InputError
from ..images.picture import Pixels
from ..metrics.protocol import partitioned
from ..metrics.psnr import psnr
from ..metrics.ssim import WINDOW, ssim
from ..restoration.choices import Choices
from ..restoration.engine import Settings
from ..restoration.engine import restore as run_engine
from ..restoration.prepared import restore
from ..weights import catalog
from ..weights.model import Model


@dataclass(frozen=True)
class Measure:
    """What is compared.

    Attributes:
        crop_border: pixels left out along each edge.
        y_channel: luma only.
        protocol: ``whole`` images, or ``paper`` for the published parts.
        tile: edge of the tiles for whole images, 0 for none.
    """

    crop_border: int = 0
    y_channel: bool = False
    protocol: str = "whole"
    tile: int = 0


@dataclass(frozen=True)
class Score:
    """One image: PSNR in dB, SSIM, and seconds in the network."""

    image: str
    psnr: float
    ssim: float
    seconds: float


@dataclass(frozen=True)
class SetScores:
    """All images of a set.

    Attributes:
        published: PSNR in dB that the model's authors give for this set.
    """

    set: str
    source: str
    scores: Sequence[Score]
    published: float | None = None

    @property
    def psnr(self) -> float:
        """Mean over the images, in dB."""
        return fmean(score.psnr for score in self.scores)

    @property
    def ssim(self) -> float:
        """Mean over the images."""
        return fmean(score.ssim for score in self.scores)

    def record(self) -> dict[str, Any]:
        """For JSON."""
        means = {"psnr": _finite(self.psnr), "ssim": self.ssim, "published_psnr": self.published}
        images = [asdict(score) | {"psnr": _finite(score.psnr)} for score in self.scores]
        return {"set": self.set, "source": self.source, **means, "images": images}


def _finite(value: float) -> float | None:
    """None for the PSNR of equal images, because JSON has no infinity."""
    return value if np.isfinite(value) else None


def customary(model: Model) -> Measure:
    """What the literature compares: the luma without ``scale`` border pixels after enlarging, else all of RGB."""
    scale = model.descriptor.scale
    return Measure(crop_border=scale, y_channel=True) if scale > 1 else Measure()


def scores(
    model: Model, images: ImageSet, measure: Measure, keep: Callable[[str, Bytes], None] | None = None
) -> Iterator[Score]:
    """Restore and compare image after image; ``keep`` is given each name and restored image.

    Raises:
        InputError: a file cannot be read, a pair does not fit together, or an image is too small to be compared.
        OutOfMemoryError: even the smallest tile does not fit.
        NumericalError: the network produced values that are not numbers.
    """
    for sample in images.samples:
        low, good = images.load(sample, model.descriptor.scale, model.descriptor.in_channels == 1)
        _check(sample.target, low, good, model.descriptor.scale, measure)
        started = time.perf_counter()
        restored = restored_by(model, low, measure)
        seconds = time.perf_counter() - started
        compared = (restored, good, measure.crop_border, measure.y_channel)
        yield Score(sample.name, psnr(*compared), ssim(*compared), seconds)
        if keep:
            keep(sample.name, restored)


def restored_by(model: Model, low: NDArray[Any], measure: Measure) -> Bytes:
    """A low-quality image restored, clipped and rounded to 8 bits."""
    result = _partitioned(model, low) if measure.protocol == "paper" else _whole(model, low, measure.tile)
    return result if result.dtype == np.uint8 else degrade.stored(result)


def _whole(model: Model, low: Pixels, tile: int) -> Pixels:
    return restore(low, model, Choices(tile=tile, overlap=None if tile else 0), unclipped=True)


def _partitioned(model: Model, low: Pixels) -> Pixels:
    descriptor = model.descriptor
    settings = Settings(scale=descriptor.scale, channels=descriptor.in_channels, tile=0, device=model.device)
    return run_engine(low, partitioned(model.network, descriptor.scale), settings)


def _check(target: Path, low: NDArray[Any], good: Bytes, scale: int, measure: Measure) -> None:
    if good.shape[:2] != (low.shape[0] * scale, low.shape[1] * scale):
        raise InputError(
            f"The partner of {target} has {low.shape[1]} x {low.shape[0]} pixels, which does not fit.",
            "Make the low-quality images again.",
        )
    if min(good.shape[:2]) < 2 * measure.crop_border + WINDOW:
        raise InputError(
            f"{target} has {good.shape[1]} x {good.shape[0]} pixels, too few to compare without a border of"
            f" {measure.crop_border}.",
            "Leave it out, or give a smaller --crop.",
        )


def published(entry: catalog.CatalogEntry | None, name: str) -> float | None:
    """The score in dB that ``entry`` has for the set called ``name``."""
    known = {} if entry is None else {key.lower(): value for key, value in entry.psnr.items()}
    return known.get(name.lower().removesuffix("hq"))


def entry_of(model: Model) -> catalog.CatalogEntry | None:
    """The catalogue's entry of a model: by its name, else the only one of its network and scale."""
    named = catalog.by_name(model.name)
    network, scale = model.architecture, model.descriptor.scale
    alike = [entry for entry in catalog.entries() if (entry.arch, entry.scale) == (network, scale)]
    return named or (alike[0] if len(alike) == 1 else None)

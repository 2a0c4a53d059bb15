"""How noisy and how compressed a picture is, from the picture alone; told to those who ask, and used for nothing."""

import functools
import io
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, JpegImagePlugin

from ..images.container import quiet_pillow
from ..images.picture import Pixels

NORMAL_MEDIAN = 0.6745
"""Median of the absolute value of a standard normal variable."""

SAMPLING = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}


@dataclass(frozen=True)
class Estimate:
    """What is known of how a picture was harmed.

    Attributes:
        noise: standard deviation of noise, in 255ths of white; None where the picture has too few usable pixels.
        quality: of a JPEG file, 1 to 100 as libjpeg counts it; None for other files.
        sampling: of the colours of a JPEG file, such as ``4:2:0``; None for gray and other files.
    """

    noise: float | None
    quality: int | None = None
    sampling: str | None = None

    def __str__(self) -> str:
        parts = [] if self.noise is None else [f"noise of about sigma {self.noise:.1f} (white is 255)"]
        if self.quality is not None:
            parts.append(f"JPEG quality of about {self.quality}{f', {self.sampling}' if self.sampling else ''}")
        return ", ".join(parts) or "too small to tell"

    def record(self) -> dict[str, float | int | str | None]:
        """As a JSON object."""
        return asdict(self)


def estimate(pixels: Pixels, source: Path | bytes) -> Estimate:
    """Examine a picture (height, width, channels), and the file (or its content) that it came from.

    What cannot be found out is None, whatever stops it: to be told about a picture must not decide over its fate.
    """
    found = Estimate(None)
    with suppress(Exception):
        found = replace(found, noise=noise(pixels))
    with suppress(Exception):
        quality, sampling = compression(source)
        found = replace(found, quality=quality, sampling=sampling)
    return found


def noise(pixels: Pixels) -> float | None:
    """Standard deviation of noise in 255ths of white, over the colours; alpha has none.

    The median of the finest diagonal coefficients of the Haar wavelet (Donoho and Johnstone, Biometrika 81, 1994):
    most of a picture is smooth at that scale, so that half of the coefficients are noise. Blocks with a value at the
    end of the range are left out, because noise is cut off there.
    """
    colours = pixels[:, :, : 1 if pixels.shape[2] <= 2 else 3]
    height, width = (edge // 2 * 2 for edge in colours.shape[:2])
    white = 1.0 if colours.dtype == np.float32 else float(np.iinfo(colours.dtype).max)
    variances = []
    for channel in range(colours.shape[2]):
        plane = colours[:height, :width, channel].astype(np.float32)
        blocks = plane.reshape(height // 2, 2, width // 2, 2)
        usable = (blocks.min((1, 3)) > 0) & (blocks.max((1, 3)) < white)
        if not usable.any():
            continue
        diagonal = (blocks[:, 0, :, 0] - blocks[:, 0, :, 1] - blocks[:, 1, :, 0] + blocks[:, 1, :, 1]) / 2
        deviation = np.median(np.abs(diagonal[usable])) / NORMAL_MEDIAN * 255 / white
        variances.append(float(deviation) ** 2)
    return round(float(np.sqrt(np.mean(variances))), 2) if variances else None


def compression(source: Path | bytes) -> tuple[int | None, str | None]:
    """Quality and sampling of a JPEG file, or None.

    The quality is that at which libjpeg's quantisation tables are nearest to the file's.
    """
    if isinstance(source, Path) and not source.is_file():  # what a named pipe held is gone
        return None, None
    with quiet_pillow(), Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        if not isinstance(image, JpegImagePlugin.JpegImageFile):
            return None, None
        table, layers = np.array(image.quantization[min(image.quantization)]), image.layers
        sampling = SAMPLING.get(JpegImagePlugin.get_sampling(image)) if layers == 3 else None
    return 1 + int(np.abs(_tables() - table).sum(1).argmin()), sampling


@functools.cache
def _tables() -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Tables for luma at qualities 1 to 100, asked of libjpeg."""
    tables = []
    for quality in range(1, 101):
        file = io.BytesIO()
        Image.new("L", (8, 8)).save(file, "JPEG", quality=quality)
        with Image.open(file) as image:
            assert isinstance(image, JpegImagePlugin.JpegImageFile)
            tables.append(image.quantization[0])
    return np.array(tables)

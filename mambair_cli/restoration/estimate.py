"""How noisy and how compressed a picture is, from the picture alone."""

import functools
import io
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from ..images.container import quiet_pillow
from ..images.picture import Pixels
from .sources import Source

Floats = NDArray[np.float32]

SQUARE, SMOOTHEST = 8, 0.1
"""Edge of the squares in which noise is measured, in coefficients; the share of them that counts as smooth."""
POOR_NOISE, POOR_QUALITY = 5.0, 70
"""From this noise on and down from this quality, enlarging shows the harm more than the picture."""

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

    @property
    def poor(self) -> str | None:
        """What is wrong with a picture that is not to be enlarged as it is; None if nothing is."""
        if self.noise is not None and self.noise >= POOR_NOISE:
            return f"noise of about sigma {self.noise:.1f}"
        if self.quality is not None and self.quality <= POOR_QUALITY:
            return f"JPEG quality of about {self.quality}"
        return None

    def record(self) -> dict[str, float | int | str | None]:
        """As a JSON object."""
        return asdict(self)


def estimate(source: Source, file: Path | bytes) -> Estimate:
    """Examine a picture, and the file (or its content) that it came from; ``source`` begins anew afterwards.

    What cannot be found out is None, whatever stops it: to be told about a picture must not decide over its fate.
    """
    found = Estimate(None)
    with suppress(Exception):
        found = replace(found, noise=noise(source))
    source.restart()
    with suppress(Exception):
        quality, sampling = compression(file)
        found = replace(found, quality=quality, sampling=sampling)
    return found


def noise(source: Source) -> float | None:
    """Standard deviation of noise in 255ths of white, over the colours; alpha has none.

    Of the finest diagonal coefficients of the Haar wavelet (Donoho and Johnstone, Biometrika 81, 1994), in squares of
    16 x 16 pixels, the mean squares; of these the tenth percentile, since the smoothest tenth of a picture holds hardly
    anything but noise, where its median holds grass and hair as well. Squares with a value at the end of the range are
    left out, because noise is cut off there. Takes the rows from top to bottom, a few at a time.
    """
    height, width, channels = source.shape
    edge = min(SQUARE, height // 2, width // 2)
    if edge == 0:
        return None
    found: list[list[Floats]] = [[] for _ in range(1 if channels <= 2 else 3)]
    for first in range(0, height - 2 * edge + 1, 2 * edge):
        rows = source.rows(first, first + 2 * edge)
        for channel, energies in enumerate(found):
            energies.append(_energies(rows[:, :, channel], edge))
        source.release(first + 2 * edge)
    every = [energies for energies in map(np.concatenate, found) if energies.size]
    variances = [float(np.quantile(energies, SMOOTHEST)) / _quantile(edge**2) for energies in every]
    return round(float(np.sqrt(np.mean(variances))), 2) if variances else None


def _energies(strip: Pixels, edge: int) -> Floats:
    """Mean squares in the usable squares of a strip (2 * edge, width) of one channel, where white is 255."""
    white = 1.0 if strip.dtype == np.float32 else float(np.iinfo(strip.dtype).max)
    columns = strip.shape[1] // (2 * edge)
    squares = strip[:, : columns * 2 * edge].astype(np.float32).reshape(edge, 2, columns, edge, 2)
    usable = (squares.min((0, 1, 3, 4)) > 0) & (squares.max((0, 1, 3, 4)) < white)
    a, b, c, d = (squares[:, y, :, :, x] for y in (0, 1) for x in (0, 1))
    energies: Floats = np.square((a - b - c + d) / 2).mean((0, 2))[usable] * np.float32((255 / white) ** 2)
    return energies


def _quantile(count: int) -> float:
    """The tenth percentile of the mean square of ``count`` standard normal variables (Wilson and Hilferty, 1931)."""
    spread = 2 / (9 * count)
    return float((1 - spread - 1.2816 * np.sqrt(spread)) ** 3)


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

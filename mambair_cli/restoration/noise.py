"""How much noise and how much grain of a camera a picture has, measured in its smoothest squares."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..images.picture import Pixels
from .sources import Source

Floats = NDArray[np.float32]

SQUARE, SMOOTHEST = 8, 0.1
"""Edge of the squares in which noise is measured, in coefficients; the share of them that counts as smooth."""
CLIPPED = 0.2
"""Share of black or white pixels up to which a square tells of grain: it hides in the dark, where nights are."""
FINE, TEXTURE = 1 / 3, 0.1
"""What white noise and texture leave at half the size, of their variance in fine colours and in coarse green.

White noise leaves a quarter, the rest is margin; colours of texture vary far less than its brightness.
"""
SPREAD = 1.45
"""Standard deviation of noise after demosaicing, for one of a coarse coefficient: 1.4 to 1.6 by OpenCV's methods."""


class Levels(NamedTuple):
    """Standard deviations in 255ths of white; None where the picture has too few usable pixels.

    Attributes:
        noise: in which no pixel knows of the next.
        grain: of several pixels and coloured, as demosaicing leaves it; None for gray pictures, too.
    """

    noise: float | None
    grain: float | None


def measure(source: Source) -> Levels:
    """Noise and grain of a picture, over the colours; alpha has none. Takes the rows from top to bottom, a few at once.

    Noise is that of the finest diagonal coefficients of the Haar wavelet (Donoho and Johnstone, Biometrika 81, 1994):
    their mean squares in squares of 16 x 16 pixels, of these the tenth percentile, since the smoothest tenth of a
    picture holds hardly anything but noise, where its median holds grass and hair as well. Squares with a value at the
    end of the range are left out, because noise is cut off there.

    Grain is measured alike in red less green and blue less green at half the size, where white noise is weak and
    demosaiced noise is not; it is the lesser of both, as colours of a texture mostly differ along one of them.
    """
    height, width, channels = source.shape
    edge = min(SQUARE, height // 2, width // 2)
    if edge == 0:
        return Levels(None, None)
    colours = 1 if channels <= 2 else 3
    found: list[list[Floats]] = [[] for _ in range(colours)]
    coloured: list[Floats] = []
    for first in range(0, height - 2 * edge + 1, 2 * edge):
        rows = source.rows(first, first + 2 * edge)[:, : width // (2 * edge) * 2 * edge, :colours]
        planes, clipped = _planes(rows, edge)
        fine, half = _haar(planes)
        for energies, some, usable in zip(found, _energies(fine, edge), clipped == 0, strict=True):
            energies.append(some[usable])
        if colours == 3 and edge == SQUARE:
            coarse, _ = _haar(np.stack([half[0] - half[1], half[2] - half[1], half[1]]))
            differences = _energies(np.stack([fine[0] - fine[1], fine[2] - fine[1]]), edge)
            both = np.concatenate([differences, _energies(coarse, edge // 2)])
            coloured.append(both[:, (clipped <= CLIPPED).all(0)])
        source.release(first + 2 * edge)
    variances = [_smoothest(energies, edge) for energies in map(np.concatenate, found) if energies.size]
    noise = round(float(np.sqrt(np.mean(variances))), 2) if variances else None
    every = np.concatenate(coloured, 1) if coloured else None
    return Levels(noise, _grain(every) if every is not None and every.size else None)


def _planes(rows: Pixels, edge: int) -> tuple[Floats, Floats]:
    """A strip (2 * edge, width, n) as planes where white is 255, and the clipped share of each square (n, squares)."""
    white = 1.0 if rows.dtype == np.float32 else float(np.iinfo(rows.dtype).max)
    planes = np.ascontiguousarray(rows.transpose(2, 0, 1))
    ends = ((planes <= 0) | (planes >= white)).reshape(len(planes), 2 * edge, -1, 2 * edge)
    return planes.astype(np.float32) * np.float32(255 / white), ends.mean((1, 3), dtype=np.float32)


def _haar(planes: Floats) -> tuple[Floats, Floats]:
    """Diagonal coefficients, in which white noise keeps its variance, and means of 2 x 2 pixels."""
    a, b, c, d = (planes[:, y::2, x::2] for y in (0, 1) for x in (0, 1))
    return (a - b - c + d) * np.float32(0.5), (a + b + c + d) * np.float32(0.25)


def _energies(planes: Floats, edge: int) -> Floats:
    """Mean squares in the squares of a strip of coefficients (n, edge, width): (n, squares)."""
    squares = np.square(planes).reshape(len(planes), planes.shape[1] // edge, edge, -1, edge)
    energies: Floats = squares.mean((2, 4)).reshape(len(planes), -1)
    return energies


def _grain(energies: Floats) -> float:
    """Of mean squares (5, squares) of fine red and blue less green, coarse ones, and coarse green."""
    red, blue = (_smoothest(each, SQUARE) for each in energies[:2])
    coarse_red, coarse_blue, green = (_smoothest(each, SQUARE // 2) for each in energies[2:])
    variance = min(coarse_red - FINE * red, coarse_blue - FINE * blue) - TEXTURE * green
    return round(float(SPREAD * np.sqrt(max(0.0, variance))), 2)


def _smoothest(energies: Floats, edge: int) -> float:
    """The variance of noise that makes the tenth percentile of the mean squares of ``edge`` x ``edge`` values.

    For normal values it lies by that much below the mean (Wilson and Hilferty, 1931).
    """
    spread = 2 / (9 * edge**2)
    return float(np.quantile(energies, SMOOTHEST) / (1 - spread - 1.2816 * np.sqrt(spread)) ** 3)

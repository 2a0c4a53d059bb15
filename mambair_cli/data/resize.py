"""MATLAB's bicubic ``imresize``, with which the low-resolution images of this field are made.

The kernel is that of R. Keys, "Cubic convolution interpolation for digital image processing", IEEE Trans. ASSP 29,
1981, a = -1/2, widened by the factor when the image shrinks (antialiasing); beyond its border the image is mirrored.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Array = TypeVar("Array", bound=NDArray[Any])

WIDTH = 4
"""Support of the kernel in pixels of the coarser grid."""

BLOCK = 8
"""Rows made by one product: enough for the matrix library, few enough that the matrix is hardly wider than its band."""

SHORT = (1 / 2, 1 / 3, 1 / 4)
"""Scales whose weights are multiples of 1/128, 1/162 and 1/1024, so that sums in single precision find every half."""

TIES = {np.dtype(np.float32): np.array(1e-4), np.dtype(np.float64): np.array(1e-7)}
"""What counts as half a level, by precision: sums in another order must not round another way."""

DEPTHS = {np.dtype(np.uint8): cv2.CV_8U, np.dtype(np.uint16): cv2.CV_16U}


@dataclass(frozen=True)
class Band:
    """Rows ``start`` to ``stop`` of the input, and the matrix that makes a block of output rows of them."""

    start: int
    stop: int
    matrix: NDArray[Any]


def output_length(length: int, scale: float) -> int:
    """Pixels along an edge after resizing, as MATLAB counts them."""
    return math.ceil(length * scale)


def imresize(image: Array, scale: float) -> Array:
    """Resize (height, width) or (height, width, channels) by any factor, up or down.

    As in MATLAB, integers are rounded (half up) and clipped after the rows and again after the columns; floats are
    neither rounded nor clipped. The result has the type of ``image``.

    Raises:
        ValueError: the scale is not positive or the image is empty.
    """
    if not scale > 0 or 0 in image.shape:
        raise ValueError(f"cannot resize an image of shape {image.shape} by {scale}")
    single = image.dtype == np.float32 or (image.dtype == np.uint8 and scale in SHORT)
    precision = np.dtype(np.float32 if single else np.float64)
    return _turned(_rows(_turned(_rows(image, scale, precision)), scale, precision))


def _turned(image: Array) -> Array:
    """Rows as columns; OpenCV does it several times faster, but only for up to four channels."""
    if image.dtype != np.float64 and (image.ndim == 2 or image.shape[2] in (3, 4)):
        return cv2.transpose(image)  # type: ignore[return-value]
    return np.ascontiguousarray(image.swapaxes(0, 1))  # type: ignore[return-value]


def _rows(image: Array, scale: float, precision: np.dtype) -> Array:
    """Resize along the first axis."""
    flat = image.reshape(len(image), -1)
    result = np.empty((output_length(len(image), scale), flat.shape[1]), image.dtype)
    for number, band in enumerate(_bands(len(image), scale, precision)):
        made = band.matrix @ flat[band.start : band.stop].astype(precision, copy=False)
        _store(made, result[number * BLOCK : number * BLOCK + len(made)])
    return result.reshape(-1, *image.shape[1:])  # type: ignore[return-value]


def _store(values: NDArray[Any], place: NDArray[Any]) -> None:
    """Integers rounded half up and clipped: OpenCV's rounding, which breaks ties to even, after lifting the ties."""
    depth = DEPTHS.get(place.dtype)
    if depth is None:
        place[:] = values
    else:
        cv2.add(values, TIES[values.dtype], dst=place, dtype=depth)


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.abs(x)
    near, far = (1.5 * x - 2.5) * x**2 + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


@lru_cache(maxsize=64)
def _bands(length: int, scale: float, precision: np.dtype) -> tuple[Band, ...]:
    """The matrix of one axis, cut into blocks of rows around its diagonal."""
    shrink = min(scale, 1.0)
    count = output_length(length, scale)
    centre = (np.arange(count) + 0.5) / scale - 0.5
    first = np.floor(centre - WIDTH / shrink / 2).astype(int)
    taps = first[:, None] + np.arange(math.ceil(WIDTH / shrink) + 2)
    weights = _cubic((centre[:, None] - taps) * shrink)
    weights /= weights.sum(axis=1, keepdims=True)
    source = _mirrored(taps, length)
    blocks = [slice(row, row + BLOCK) for row in range(0, count, BLOCK)]
    return tuple(_band(weights[block], source[block], precision) for block in blocks)


def _mirrored(index: NDArray[np.int_], length: int) -> NDArray[np.int_]:
    """Indices beyond the border as those of the image that repeats itself mirrored, edge pixel included."""
    index = index % (2 * length)
    return np.minimum(index, 2 * length - 1 - index)


def _band(weights: NDArray[np.float64], source: NDArray[np.int_], precision: np.dtype) -> Band:
    row, tap = np.nonzero(weights)
    column = source[row, tap]
    start, stop = int(column.min()), int(column.max()) + 1
    matrix = np.zeros((len(weights), stop - start))
    np.add.at(matrix, (row, column - start), weights[row, tap])
    return Band(start, stop, matrix.astype(precision))

"""What comes after the network: any size, and a share of the input."""

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..errors import UsageError
from ..images import planes
from ..images.picture import Pixels
from .engine import Network
from .sizes import Shape

Plane = NDArray[np.float32]

WRAPS = ("none", "x", "y", "xy")
"""Axes along which a picture can repeat itself."""

BORDER = 64
"""Pixels from the other side that a network sees beyond an edge of such a picture: more decide hardly anything."""


def resized(pixels: Pixels, size: Shape) -> Pixels:
    """A picture at any height and width, by Lanczos' filter with three lobes, widened where the picture shrinks.

    Colours count as much as they can be seen, so that those of transparent pixels do not bleed into others.
    """
    if pixels.shape[:2] == size:
        return pixels
    white = np.float32(planes.white(pixels))
    share, seen = None, None
    if planes.has_alpha(pixels):
        share = pixels[:, :, -1].astype(np.float32) / white
        seen = _lanczos(share, size)
    out: Pixels = np.empty((*size, pixels.shape[2]), pixels.dtype)
    for channel in range(pixels.shape[2]):
        plane = pixels[:, :, channel].astype(np.float32) / white
        if share is not None and seen is not None:
            made = seen if channel == pixels.shape[2] - 1 else _weighted(plane, share, seen, size)
        else:
            made = _lanczos(plane, size)
        out[:, :, channel] = planes.quantise(made, pixels.dtype)
    return out


def _lanczos(plane: Plane, size: Shape) -> Plane:
    """One channel in single precision: Pillow resizes 16-bit ones and those of gray with alpha in no other way."""
    return np.asarray(Image.fromarray(plane).resize(size[::-1], Image.Resampling.LANCZOS))


def _weighted(plane: Plane, share: Plane, seen: Plane, size: Shape) -> Plane:
    """The mean of what can be seen; where nothing can, the plain mean."""
    visible = seen > 1 / 1024
    made = _lanczos(plane * share, size)
    return np.where(visible, made / np.where(visible, seen, 1), _lanczos(plane, size))


def blended(network: Network, strength: float, scale: int = 1) -> Network:
    """``network`` with only this share of what it changes: 0 nothing, 1 all.

    Where it enlarges, what it changes is what bicubic interpolation makes (Keys, a = -0.75), so that grain can stay.

    Raises:
        UsageError: the strength is not between 0 and 1.
    """
    if not 0 <= strength <= 1:
        raise UsageError(f"A strength of {strength:g} is not between 0 and 1.", "Give a number from 0 to 1.")
    if strength == 1:
        return network

    def run(x: Tensor) -> Tensor:
        plain = x if scale == 1 else F.interpolate(x, scale_factor=scale, mode="bicubic")
        return plain if strength == 0 else plain + strength * (network(x) - plain)

    return run


def wrapped(pixels: Pixels, wrap: str) -> tuple[Pixels, int, int]:
    """A picture that repeats itself, with a border of what lies on the other side.

    Args:
        pixels: (height, width, channels).
        wrap: ``x`` if its left edge goes on at its right one, ``y`` if its top edge goes on at the bottom, or ``xy``.

    Returns:
        The larger picture, and the rows and columns of border on each side.
    """
    rows, columns = (BORDER if axis in wrap else 0 for axis in "yx")
    return np.pad(pixels, ((rows, rows), (columns, columns), (0, 0)), mode="wrap"), rows, columns

"""Colours of transparent pixels: undo their multiplication by alpha, and fill in those that nobody sees."""

import cv2
import numpy as np

from . import planes
from .picture import Pixels

RADII = (1, 3, 7, 15, 31)
REACH = RADII[-1]
"""How far from what is visible colours are made up; a result depends on no row or column further away than that."""

BAND = 1 << 19
"""Pixels looked at together."""


def solid(pixels: Pixels) -> Pixels:
    """The colours of a picture, those of fully transparent pixels taken from the visible ones around.

    Editors leave black or white there, which a network would smear over the edges of what is visible. A hidden pixel
    gets the mean of all visible ones in the smallest square around it that has any. Works on a few rows at a time.

    Returns:
        (height, width, 1 or 3) in the type of the picture; for a picture without hidden pixels, a view of it.
    """
    colours = planes.colour(pixels)
    if not planes.has_alpha(pixels) or pixels[:, :, -1].all():
        return colours
    visible = pixels[:, :, -1] > 0
    out = colours.copy()
    height = max(BAND // pixels.shape[1], REACH)
    for first in range(0, len(out), height):
        rows = slice(first, first + height)
        near = slice(max(first - REACH, 0), first + height + REACH)
        hidden = ~visible[rows]
        if hidden.any() and visible[near].any():
            _fill(out[rows], hidden, colours[near], visible[near], first - near.start)
    return out


def _fill(out: Pixels, hidden: np.ndarray, colours: Pixels, visible: np.ndarray, top: int) -> None:
    """Fill the hidden pixels of ``out``, rows ``top`` and following of ``colours``, which have their surroundings."""
    weight = visible.astype(np.uint8)
    weighted = colours * weight[:, :, None]
    for radius in RADII:
        count = _sums(weight, radius)[top : top + len(out)]
        found = hidden & (count > 0)
        means = _sums(weighted, radius)[top : top + len(out)][found] / count[found][:, None]
        out[found] = np.rint(means) if np.issubdtype(out.dtype, np.integer) else means
        hidden = hidden & ~found


def _sums(values: np.ndarray, radius: int) -> np.ndarray:
    """Sums over squares; of integers exact, and so in whatever order they are added."""
    size, depth = (2 * radius + 1, 2 * radius + 1), cv2.CV_64F if values.dtype == np.float32 else cv2.CV_32S
    sums = cv2.boxFilter(values, depth, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
    return sums.reshape(values.shape)


def straight(pixels: Pixels) -> Pixels:
    """A picture whose colours were multiplied by its alpha, as far as they can be had back; hidden ones are black."""
    white, alpha = planes.white(pixels), pixels[:, :, -1:].astype(np.float64)
    colours = planes.colour(pixels) * (white / np.where(alpha > 0, alpha, np.inf))
    whole = np.rint(colours) if np.issubdtype(pixels.dtype, np.integer) else colours
    return np.concatenate([np.minimum(whole, white).astype(pixels.dtype), pixels[:, :, -1:]], axis=2)

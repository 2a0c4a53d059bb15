"""Any size: Lanczos' filter with three lobes, row by row, so that pictures in memory and in bands come out alike."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..images import planes
from ..images.picture import Pixels
from .sizes import Shape
from .sources import BLOCK

Plane = NDArray[np.float32]

LOBES = 3

SEEN = 1 / 1024
"""Share of visible pixels above which colours count as seen."""


def resized(pixels: Pixels, size: Shape) -> Pixels:
    """A picture at any height and width; see :func:`resampled`."""
    if pixels.shape[:2] == size:
        return pixels
    return np.concatenate(list(resampled([pixels], (pixels.shape[0], pixels.shape[1]), size)))


def resampled(rows: Iterable[Pixels], shape: Shape, size: Shape) -> Iterator[Pixels]:
    """The rows of a picture of another size, by Lanczos' filter, widened where the picture shrinks.

    Colours count as much as they can be seen, so that those of transparent pixels do not bleed into others. How the
    rows are parted into blocks changes no pixel.

    Args:
        rows: blocks (rows, width, channels) from top to bottom.
        shape: height and width that they make together.
        size: height and width of the result.
    """
    if shape == size:
        yield from rows
        return
    todo = deque(_taps(row, shape[0], size[0]) for row in range(size[0]))
    kept, top = np.empty((0, size[1], 0), np.float32), 0
    for block in _short(rows):
        lines = np.stack([_across(plane, size[1]) for plane in _planes(block)], axis=2)
        kept = np.concatenate([kept, lines]) if len(kept) else lines
        done = []
        while todo and todo[0].stop <= top + len(kept):
            taps = todo.popleft()
            done.append(_down(kept[taps.first - top : taps.stop - top], taps.weights))
        if done:
            yield _picture(np.stack(done), block.dtype, block.shape[2])
        needed = min(todo[0].first if todo else top + len(kept), top + len(kept))
        kept, top = kept[needed - top :].copy(), needed


def _short(rows: Iterable[Pixels]) -> Iterator[Pixels]:
    """Floats of several planes take room, so they see a few rows at a time."""
    for block in rows:
        for first in range(0, len(block), BLOCK):
            yield block[first : first + BLOCK]


def _planes(pixels: Pixels) -> list[Plane]:
    """What is resampled: the channels, and of those with alpha also the colours times their visibility."""
    values = pixels.astype(np.float32) / np.float32(planes.white(pixels))
    channels = [values[:, :, channel] for channel in range(values.shape[2])]
    if planes.has_alpha(pixels):
        channels += [plane * channels[-1] for plane in channels[:-1]]
    return channels


def _picture(values: Plane, dtype: np.dtype, channels: int) -> Pixels:
    """Rows of planes as rows of a picture: the mean of what can be seen; where nothing can, the plain mean."""
    if values.shape[2] > channels:
        seen, weighted = values[:, :, channels - 1, None], values[:, :, channels:]
        visible = seen > SEEN
        colours = np.where(visible, weighted / np.where(visible, seen, 1), values[:, :, : channels - 1])
        values = np.concatenate([colours, seen], axis=2)
    return planes.quantise(values, dtype)


def _across(plane: Plane, width: int) -> Plane:
    """One channel in single precision: Pillow resizes 16-bit ones and those of gray with alpha in no other way."""
    if plane.shape[1] == width:
        return plane
    return np.asarray(Image.fromarray(plane).resize((width, len(plane)), Image.Resampling.LANCZOS))


@dataclass(frozen=True)
class _Taps:
    """The rows [first, stop) of which one is made, and their weights."""

    first: int
    stop: int
    weights: NDArray[np.float64]


def _taps(row: int, length: int, wanted: int) -> _Taps:
    """Of what row ``row`` of ``wanted`` is made, of ``length`` rows."""
    if length == wanted:
        return _Taps(row, row + 1, np.ones(1))
    widening = max(1.0, length / wanted)
    centre = (row + 0.5) * (length / wanted)
    first = max(0, int(centre - LOBES * widening + 0.5))
    stop = min(length, int(centre + LOBES * widening + 0.5))
    x = (np.arange(first, stop) + 0.5 - centre) / widening
    weights = np.where(np.abs(x) < LOBES, np.sinc(x) * np.sinc(x / LOBES), 0)
    return _Taps(first, stop, weights / weights.sum())


def _down(rows: Plane, weights: NDArray[np.float64]) -> Plane:
    """One row as the weighted sum of ``rows``, added one after the other, so that no block matters."""
    total = np.zeros(rows.shape[1:])
    for row, weight in zip(rows, weights, strict=True):
        total += np.multiply(row, weight, dtype=np.float64)
    return total.astype(np.float32)

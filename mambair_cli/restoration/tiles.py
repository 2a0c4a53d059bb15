"""How an image is cut into overlapping tiles and put together again.

Of an overlap, a quarter on each side is a margin that is thrown away, because a network is least sure near the border
of what it sees; the half between is a ramp that is blended by ``a + w * (b - a)``, which leaves equal values equal to
the last bit. A network whose receptive radius is at most the margin therefore gives the same pixels tiled or whole.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LADDER = (2048, 1536, 1024, 768, 512, 384, 256, 192, 128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1)
"""Tile edges tried when memory runs out."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Span:
    """One tile along one axis: the network sees [start, stop), of which [first, last) is kept."""

    start: int
    stop: int
    first: int
    last: int


@dataclass(frozen=True)
class TileRow:
    """One row of tiles, of which the rows [top, span.last) of the picture are kept."""

    span: Span
    columns: tuple[Span, ...]
    top: int


Make = Callable[[TileRow], "Floats | None"]
"""What the network makes of a row of tiles: (rows, width, channels); None when memory ran out."""

Sharing = Callable[[Sequence[TileRow], Make], Iterator["Floats | None"]]
"""Gives what becomes of each row of tiles, in order; whoever makes it, it is what the function given makes of it."""


def alone(rows: Sequence[TileRow], make: Make) -> Iterator["Floats | None"]:
    """One after the other, each when it is asked for."""
    return map(make, rows)


def margin(overlap: int) -> int:
    """Pixels thrown away on each side of an overlap."""
    return overlap // 4


def plan(size: int, tile: int, overlap: int, multiple: int = 1, done: int = 0) -> list[Span]:
    """Spans of at most ``tile`` pixels that cover [done, size) with at least ``overlap`` pixels in common.

    As few spans as can be, all as short as that allows: tiles cost no more than the overlaps that part them.
    Starts lie on multiples of ``multiple`` where the tile is large enough for that. ``done`` pixels need no result any
    more but are still there as context.
    """
    border = margin(overlap)
    step = (tile - overlap) // multiple * multiple
    if step == 0:
        multiple, step = 1, tile - overlap
    origin = max(0, done - border) // multiple * multiple
    length = size - origin
    starts = [origin]
    if length > tile:
        count = -(-(length - overlap) // step)
        even = _up(-(-(length - overlap) // count), multiple)
        count = -(-(length - overlap) // even)  # fewer where the grid made the steps longer
        tile = even + overlap
        starts += [origin + even * k for k in range(1, count - 1)] + [origin + _up(length - tile, multiple)]
    stops = [min(start + tile, size) for start in starts]
    return [
        Span(start, stop, start + border if start else 0, stop - border if stop < size else size)
        for start, stop in zip(starts, stops, strict=True)
    ]


def needed(done: int, overlap: int, multiple: int = 1) -> int:
    """No plan for what is left after ``done`` pixels, whatever its tile, starts before this pixel."""
    return max(0, done - margin(overlap) - multiple)


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def smaller(tile: int, overlap: int) -> int | None:
    """The next tile of the ladder that is still larger than the overlap, or None."""
    return next((edge for edge in LADDER if overlap < edge < tile), None)


def blend(old: Floats, new: Floats, axis: int) -> Floats:
    """Ramp from ``old`` to ``new`` along ``axis``; where both are equal the result is equal."""
    length = old.shape[axis]
    weights = (np.arange(1, length + 1, dtype=np.float32) / np.float32(length + 1)).reshape(
        [-1 if k == axis else 1 for k in range(old.ndim)]
    )
    return old + weights * (new - old)


class Strip:
    """A row of tiles being put together: (height, width, channels), filled from left to right."""

    def __init__(self, height: int, width: int, channels: int) -> None:
        self.pixels: Floats = np.empty((height, width, channels), dtype=np.float32)
        self.filled = 0

    def add(self, tile: Floats, first: int) -> None:
        """Blend in ``tile``, whose left edge belongs at column ``first``."""
        common = self.filled - first
        if common > 0:
            self.pixels[:, first : self.filled] = blend(self.pixels[:, first : self.filled], tile[:, :common], axis=1)
        stop = first + tile.shape[1]
        self.pixels[:, self.filled : stop] = tile[:, common:]
        self.filled = stop


def stack(pending: Floats | None, rows: Floats) -> Floats:
    """Blend the rows left over from the strip above into a new strip that starts at the same row."""
    if pending is None or len(pending) == 0:
        return rows
    common = min(len(pending), len(rows))
    rows[:common] = blend(pending[:common], rows[:common], axis=0)
    return rows

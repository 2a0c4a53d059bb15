"""Where rows come from and go to: a picture in memory, or files that are read and written as the work goes down."""

from typing import Protocol

import numpy as np

from ..images import planes, transparency
from ..images.picture import Pixels

BLOCK = 64
CONTEXT = 2
"""Rows that bicubic weights reach beyond a block."""

BORDER = 64
"""Pixels from the other side that a network sees beyond an edge of a wrapped picture: more decide hardly anything."""


class Source(Protocol):
    """Rows of one upright picture, asked for from top to bottom.

    Attributes:
        shape: (height, width, channels).
        dtype: uint8, uint16 or float32.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype

    def rows(self, start: int, stop: int) -> Pixels:
        """Rows [start, stop), none of which have been released; not to be written to."""

    def release(self, row: int) -> None:
        """Rows above ``row`` will not be asked for again."""

    def restart(self) -> None:
        """Begin at the first row again."""


class ArraySource:
    """A picture that is in memory anyway."""

    def __init__(self, pixels: Pixels) -> None:
        height, width, channels = pixels.shape
        self.pixels, self.shape, self.dtype = pixels, (height, width, channels), pixels.dtype

    def rows(self, start: int, stop: int) -> Pixels:
        """Rows [start, stop)."""
        return self.pixels[start:stop]

    def release(self, row: int) -> None:
        """Frees nothing."""

    def restart(self) -> None:
        """Nothing was used up."""


class ArraySink:
    """A picture in memory that is put together from top to bottom."""

    def __init__(self, shape: tuple[int, int, int], dtype: np.dtype) -> None:
        self.pixels: Pixels = np.empty(shape, dtype)
        self.row = 0

    def write(self, rows: Pixels) -> None:
        """The next rows."""
        self.pixels[self.row : self.row + len(rows)] = rows
        self.row += len(rows)


class Wrapped:
    """A picture that goes on at its opposite edge, with a border of what lies there.

    Args:
        source: of the picture. For ``y`` it has to give its rows in any order, and more than once.
        wrap: ``x`` if the left edge goes on at the right one, ``y`` if the top goes on at the bottom, ``xy``, or
            ``none``.
    """

    def __init__(self, source: Source, wrap: str) -> None:
        self.source, self.dtype = source, source.dtype
        self.above, self.beside = (BORDER if axis in wrap else 0 for axis in "yx")
        height, width, channels = source.shape
        self.shape = (height + 2 * self.above, width + 2 * self.beside, channels)

    def rows(self, start: int, stop: int) -> Pixels:
        """Rows [start, stop) of the picture with its border."""
        height, parts = self.source.shape[0], []
        while start < stop:
            row = (start - self.above) % height
            count = min(stop - start, height - row)
            parts.append(self.source.rows(row, row + count))
            start += count
        inside = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return np.pad(inside, ((0, 0), (self.beside, self.beside), (0, 0)), mode="wrap") if self.beside else inside

    def release(self, row: int) -> None:
        """Rows above ``row`` will not be asked for again, unless they are those below the last one, too."""
        if not self.above:
            self.source.release(row)

    def restart(self) -> None:
        """Begin at the first row again."""
        self.source.restart()


class Solid:
    """A source with alpha, whose hidden pixels have the colours of the visible ones around them."""

    def __init__(self, source: Source) -> None:
        self.source, self.shape, self.dtype = source, source.shape, source.dtype

    def rows(self, start: int, stop: int) -> Pixels:
        """Rows [start, stop)."""
        top, bottom = max(0, start - transparency.REACH), min(self.shape[0], stop + transparency.REACH)
        around = self.source.rows(top, bottom)
        solid = np.concatenate([transparency.solid(around), around[:, :, -1:]], axis=2)
        return solid[start - top : stop - top]

    def release(self, row: int) -> None:
        """Rows above ``row`` will not be asked for again."""
        self.source.release(max(0, row - transparency.REACH))

    def restart(self) -> None:
        """Begin at the first row again."""
        self.source.restart()


def seen(source: Source) -> Source:
    """What a network sees of a picture: no colours under full transparency."""
    return Solid(source) if source.shape[2] in (2, 4) else source


class Enlarged:
    """Rows of the source, alpha included, enlarged by bicubic interpolation.

    Blocks of the source are enlarged one by one, always the same ones, so that no pixel depends on which rows are asked
    for together.
    """

    def __init__(self, source: Source, scale: int) -> None:
        self.source, self.scale = source, scale
        self.number, self.block = -1, np.empty(0)

    @staticmethod
    def first(row: int) -> int:
        """The first row of the source that is needed from its row ``row`` on."""
        return max(0, row // BLOCK * BLOCK - CONTEXT)

    def rows(self, start: int, stop: int) -> Pixels:
        """Rows [start, stop) of the enlarged picture."""
        height = BLOCK * self.scale
        parts = []
        for number in range(start // height, -(-stop // height)):
            top = number * height
            parts.append(self._block(number)[max(0, start - top) : stop - top])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _block(self, number: int) -> Pixels:
        if number != self.number:
            start, stop = number * BLOCK, min(self.source.shape[0], (number + 1) * BLOCK)
            above = min(CONTEXT, start)
            around = self.source.rows(start - above, min(self.source.shape[0], stop + CONTEXT))
            large = planes.enlarge(around, self.scale)
            self.number, self.block = number, large[above * self.scale :][: (stop - start) * self.scale]
        return self.block

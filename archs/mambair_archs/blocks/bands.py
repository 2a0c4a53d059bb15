"""Layers run one after the other on bands of rows, so that what they hand on stays in the processor's cache.

A convolution at full resolution reads and writes more than caches hold; run over the whole picture, layer after layer,
it waits for memory half of the time. Here the first rows go through all layers before the next rows are begun. Each
layer keeps the last rows that it has seen; nothing is computed twice, and the results are those of the whole.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

BYTES = 3 << 20
"""Of a band of features, at most; a third of a third-level cache, as several are in use at a time."""

SQUARES = 4
"""Edge of the squares of results that the native convolution computes at once."""

Band = tuple[Tensor, bool]
"""Rows (batch, rows, width, channels) that follow those before, and whether they are the last."""


def height_of(image: Tensor, channels: int, multiple: int) -> int:
    """How many rows of ``channels`` features a band of an image (batch, height, width, ...) has, a multiple."""
    rows = BYTES // (4 * channels * image.shape[0] * image.shape[2])
    return max(multiple, rows // multiple * multiple)


def split(image: Tensor, rows: int) -> Iterator[Band]:
    """The bands of an image."""
    height = image.shape[1]
    for top in range(0, height, rows):
        yield image[:, top : top + rows], top + rows >= height


def whole(bands: Iterable[Band], height: int) -> Tensor:
    """The image of all bands."""
    image, top = torch.empty(0), 0
    for band, _ in bands:
        if not top:
            image = band.new_empty(band.shape[0], height, *band.shape[2:])
        image[:, top : top + band.shape[1]] = band
        top += band.shape[1]
    return image


class Rows:
    """Rows that are needed again later: those of ``bands``, or those that pass through :meth:`noting`."""

    def __init__(self, bands: Iterator[Band] | None = None) -> None:
        self._bands, self._held = bands, deque[Tensor]()

    def noting(self, bands: Iterable[Band]) -> Iterator[Band]:
        """The same bands."""
        for band, last in bands:
            self._held.append(band)
            yield band, last

    def take(self, count: int) -> list[Tensor]:
        """The next ``count`` rows, in the tensors that they lie in."""
        taken: list[Tensor] = []
        while count:
            if not self._held:
                assert self._bands is not None
                self._held.append(next(self._bands)[0])
            band = self._held.popleft()
            if band.shape[1] > count:
                self._held.appendleft(band[:, count:])
                band = band[:, :count]
            taken.append(band)
            count -= band.shape[1]
        return taken


Layer = Callable[[list[Tensor], bool, bool], Tensor]
"""Convolves rows, given whether a row of zeros lies above and below them."""


def convolved(bands: Iterable[Band], layer: Layer) -> Iterator[Band]:
    """A 3x3 convolution with a zero beyond each edge.

    The bands come out a few rows late, so that all but the last one are whole :data:`SQUARES` high: the results are
    then those of the whole to the last bit.
    """
    held: list[Tensor] = []
    above = True
    for band, last in bands:
        held.append(band)
        rows = sum(part.shape[1] for part in held)
        ready = rows + above + last - 2
        if not last:
            ready = ready // SQUARES * SQUARES
        if ready > 0:
            yield layer(_between(held, 0, ready + 2 - above - last), above, last), last
            held = _between(held, ready - above, rows)
            above = False


def _between(parts: list[Tensor], first: int, last: int) -> list[Tensor]:
    """Rows [first, last) of those in the parts."""
    found, start = [], 0
    for part in parts:
        end = start + part.shape[1]
        if start < last and end > first:
            found.append(part[:, max(first - start, 0) : last - start])
        start = end
    return found
